"""A real browser: Debian's Chromium, driven by Playwright.

    with browser.page() as page:
      page.goto("http://127.0.0.1:8501/")
      page.screenshot(path="demo.png")
"""

import contextlib
import shutil


class Unavailable(Exception):
  """There is no browser here; the message says what is missing."""


# Chromium's own traffic off: pages of this machine alone are opened.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-default-apps",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, "
         "EXCLUDE 127.0.0.1"]


@contextlib.contextmanager
def page(width=1100, height=900, **options):
  """A page of a headless Chromium.

  Yields:
    Playwright's page; `page.mistakes` collects what its scripts complain
    about.
  Raises:
    Unavailable: Playwright or Chromium is not installed.
  """
  try:
    from playwright import sync_api
  except ImportError as error:
    raise Unavailable("playwright is not installed") from error
  chromium = shutil.which("chromium") or shutil.which("chromium-browser")
  if chromium is None:
    raise Unavailable("chromium is not installed")
  with sync_api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
    one = browser.new_page(viewport={"width": width, "height": height},
                           **options)
    one.mistakes = []
    one.on("pageerror", lambda error: one.mistakes.append(str(error)))
    one.on("console", lambda message: message.type == "error" and
           one.mistakes.append(message.text))
    try:
      yield one
    finally:
      browser.close()
