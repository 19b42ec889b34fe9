"""Strategies of hypothesis: made-up values, and changes of valid ones."""

import copy

from hypothesis import strategies as st

TEXT = st.text(max_size=20)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-2**70, 2**70), st.floats(), TEXT,
    st.sampled_from(["", "../../x", "/etc/passwd", "nan", "\0", "a" * 999]))
JSON = st.recursive(SCALAR, lambda inner: st.one_of(
    st.lists(inner, max_size=3),
    st.dictionaries(TEXT, inner, max_size=3)), max_leaves=6)


@st.composite
def changed_json(draw, valid):
  """A valid document in which one to three values were replaced or removed."""
  content = copy.deepcopy(valid)
  for _ in range(draw(st.integers(1, 3))):
    node, parent, key = content, None, None
    while isinstance(node, (dict, list)) and node and (
        parent is None or draw(st.integers(0, 4))):
      keys = list(node) if isinstance(node, dict) else range(len(node))
      parent, key = node, draw(st.sampled_from(list(keys)))
      node = node[key]
    if parent is None:
      return draw(JSON)
    if draw(st.booleans()):
      parent[key] = draw(JSON)
    else:
      del parent[key]
  return content


@st.composite
def changed_bytes(draw, valid):
  """Valid bytes that were cut, or of which some were changed or repeated."""
  data = bytearray(valid)
  for _ in range(draw(st.integers(1, 4))):
    place = draw(st.integers(0, max(0, len(data) - 1)))
    kind = draw(st.sampled_from(["flip", "set", "cut", "remove", "insert"]))
    if kind == "flip" and data:
      data[place] ^= 1 << draw(st.integers(0, 7))
    elif kind == "set":
      data[place:place + 4] = draw(st.sampled_from(
          [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"<&;]"]))
    elif kind == "cut":
      data = data[:place]
    elif kind == "remove":
      del data[place:place + draw(st.integers(1, 40))]
    else:
      data[place:place] = draw(st.binary(max_size=20))
  return bytes(data)


def texts(valid):
  """A valid text with changes, or any text."""
  return st.one_of(changed_bytes(valid.encode()),
                   TEXT.map(lambda t: t.encode("utf-8", "surrogatepass")))
