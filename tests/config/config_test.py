"""Settings: their defaults and their help lines."""

from absl.testing import absltest
from absl.testing import parameterized

from atcon_tf.config import Config
from atcon_tf.config import settings
from atcon_tf.config import UserError
from atcon_tf.data import augment
from atcon_tf.data.registry import DATASETS
from atcon_tf.models import backbones
from atcon_tf.objectives import OBJECTIVES
from tests.config.command_line import Case
from tests.config.command_line import FIELDS
from tests.config.command_line import parse
from tools import options


class DefaultsTest(Case):

  def test_of_a_bare_command(self):
    got = parse()
    self.assertEqual(got, Config().resolve())
    self.assertEqual((got.objective, got.dataset, got.model, got.weights),
                     ("atcon", "shapes", "tiny_cnn", "none"))
    self.assertEqual(got.image_size, 64)
    self.assertGreater(got.learning_rate, 0)

  @parameterized.parameters("voc", "folder")
  def test_real_images_are_fine_tuned(self, dataset):
    got = parse(f"--dataset={dataset}", "--data_dir=photos")
    self.assertEqual((got.model, got.weights, got.image_size),
                     ("mobilenet_v2", "imagenet", 225))
    self.assertEqual((got.objective, got.schedule, got.learning_rate,
                      got.head_learning_rate),
                     ("self_training", "combined", 1e-4, 3e-4))
    self.assertEqual((got.start, got.head, got.trained_layers, got.refit),
                     ("ranked_probe", "unit", "last_stage", "on"))
    atcon = got.with_objective("atcon")
    self.assertEqual((atcon.schedule, atcon.consistency_learning_rate),
                     ("alternating", 1e-5))

  @parameterized.parameters(*settings.MODELS)
  def test_every_model_has_a_size_and_rates(self, model):
    data = ["--dataset=moving_shapes"] if model in settings.THREE_D else []
    got = parse(f"--model={model}", *data)
    self.assertGreater(got.image_size, 0)
    self.assertGreater(got.head_learning_rate, 0)
    self.assertIn(got.weights, ("none", "imagenet"))

  def test_a_user_s_value_stays(self):
    got = parse("--model=resnet50", "--image_size=161", "--weights=none",
                "--learning_rate=0.5", "--split_seed=3", "--seed=4")
    self.assertEqual((got.image_size, got.weights, got.learning_rate,
                      got.split_seed), (161, "none", 0.5, 3))
    self.assertEqual(got.head_learning_rate, 3e-3)

  def test_a_short_run_ranks_its_pool_too(self):
    for steps, every in [(1, 1), (8, 2), (60, 20), (300, 30)]:
      got = parse("--objective=self_training", f"--steps={steps}")
      self.assertEqual(got.bank_every, every)
    with self.assertRaisesRegex(
        UserError, "bank_every=8: the run has only 8 steps"):
      parse("--objective=self_training", "--steps=8", "--bank_every=8")

  def test_a_network_without_relu_has_no_atcon_term_by_default(self):
    model = "--model=efficientnet_b0"
    self.assertEqual(parse(model).atcon_weight, 0)
    self.assertEqual(parse(model, "--atcon_weight=0.2").atcon_weight, 0.2)
    for objective in ("self_training", "supervised"):
      got = parse(model, f"--objective={objective}")
      self.assertEqual(got.resolve(), got)

  def test_others_do_not_see_the_folders_of_this_machine(self):
    path = self.file("own.keras")
    got = parse(f"--model={path}", "--dataset=folder", "--data_dir=/x/photos/",
                "--warm_start=W/run")
    self.assertEqual((got.model, got.data_dir), (path, "/x/photos/"))
    shown = got.public()
    self.assertEqual((shown.model, shown.data_dir, shown.warm_start),
                     ("own.keras", "photos", "W/run"))

  def test_the_split_follows_the_seed(self):
    self.assertEqual(parse("--seed=7").split_seed, 7)
    self.assertEqual(parse("--seed=7", "--split_seed=0").split_seed, 0)

  def test_a_keras_file_brings_weights_and_size(self):
    path = self.file("own.keras")
    got = parse(f"--model={path}", "--input_range=-1..1")
    self.assertEqual((got.weights, got.image_size, got.input_range),
                     ("none", 0, "-1..1"))

  def test_what_is_not_used_stays_open(self):
    self.assertEqual(
        parse("--objective=supervised").consistency_learning_rate, 0)
    self.assertEqual(
        parse("--schedule=combined").consistency_learning_rate, 0)
    alone = parse("--schedule=consistency")
    self.assertEqual((alone.learning_rate, alone.head_learning_rate), (0, 0))
    self.assertGreater(alone.consistency_learning_rate, 0)

  def test_the_choices_are_those_of_the_code(self):
    self.assertEqual(set(settings.DATASETS), set(DATASETS))
    self.assertEqual(set(settings.OBJECTIVES), set(OBJECTIVES))
    self.assertEqual(set(FIELDS["input_range"].metadata["choices"]),
                     {"auto", *backbones.INPUT_RANGES})
    for name in settings.AUGMENTATIONS:
      self.assertIn(f'"{name}"', augment.distort.__doc__)

  def test_every_flag_has_a_help_line(self):
    for field in FIELDS.values():
      self.assertNotEmpty(field.metadata["help"], field.name)
      self.assertNotIn("\n", field.metadata["help"], field.name)

  def test_the_page_of_options_is_of_these(self):
    self.assertEqual(options.PAGE.read_text("utf-8"), options.page(),
                     "write it again: python -m tools.options")


if __name__ == "__main__":
  absltest.main()
