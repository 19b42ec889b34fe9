"""Settings: what they default to, what they refuse, how they are stored."""

import dataclasses
import json
import pathlib
import tempfile

from absl import flags
from absl.testing import absltest
from absl.testing import parameterized

from atcon_tf.config import Config
from atcon_tf.config import define_flags
from atcon_tf.config import from_flags
from atcon_tf.config import settings
from atcon_tf.config import UserError
from atcon_tf.data import augment
from atcon_tf.data.registry import DATASETS
from atcon_tf.models import backbones
from atcon_tf.objectives import OBJECTIVES
from tools import options

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def parse(*arguments):
  """The Config of a command line."""
  values = flags.FlagValues()
  define_flags(values)
  values(["train", *arguments])
  return from_flags(values)


class Case(parameterized.TestCase):

  def file(self, name, text=""):
    """The path of a file that is gone after the test."""
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    path = pathlib.Path(folder.name) / name
    path.write_text(text)
    return str(path)


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
    got = parse(f"--model={model}")
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
    self.assertLessEqual(set(FIELDS["input_range"].metadata["choices"]),
                         set(backbones.INPUT_RANGES))
    for name in settings.AUGMENTATIONS:
      self.assertIn(f'"{name}"', augment.distort.__doc__)


class RefusalTest(Case):

  def refused(self, *arguments):
    """The one line that a command line is refused with."""
    with self.assertRaises(UserError) as caught:
      parse(*arguments)
    line = caught.exception.as_flags()
    self.assertNotIn("\n", line)
    return line

  @parameterized.parameters(
      ("--objective=gian", "--objective=gian: must be one of supervised,"),
      ("--dataset=cifar", "--dataset=cifar: must be one of voc, folder,"),
      ("--dataset=", "--dataset=: must be one of voc"),
      ("--model=resnet", "--model=resnet: must be one of tiny_cnn,"),
      ("--model=missing.keras", "--model=missing.keras: no such file"),
      ("--shots=-1", "--shots=-1: must be at least 0"),
      ("--steps=-5", "--steps=-5: must be at least 0"),
      ("--steps=0", "--steps=0: must be more than 0"),
      ("--seed=-1", "--seed=-1: must be at least 0"),
      ("--batch_size=0", "--batch_size=0: must be at least 1"),
      ("--eval_every=0", "--eval_every=0: must be at least 1"),
      ("--image_size=3", "--image_size=3: must be at least 16"),
      ("--image_size=-1", "--image_size=-1: must be at least 0"),
      ("--image_size=100000", "--image_size=100000: must be at most 4096"),
      ("--unlabeled=some", "--unlabeled=some: must be all, labeled,"),
      ("--unlabeled=0", "--unlabeled=0: must be all, labeled, or a number"),
      ("--unlabeled=²", "--unlabeled=²: must be all, labeled, or a number"),
      ("--augment=crop,spin", "--augment=crop,spin: no 'spin'; any of crop,"),
      ("--schedule=random", "--schedule=random: must be one of alternating"),
      ("--mask_scale=max", "--mask_scale=max: must be one of none, std"),
      ("--mask_intensity=-1", "--mask_intensity=-1.0: must be at least 0"),
      ("--supervised_share=0", "--supervised_share=0.0: must be at least"),
      ("--supervised_share=1.5", "--supervised_share=1.5: must be at most 1"),
      ("--alpha=inf", "--alpha=inf: must be a finite number"),
      ("--learning_rate=nan", "--learning_rate=nan: must be a finite number"),
      ("--learning_rate=-1", "--learning_rate=-1.0: must be at least 0"),
      ("--learning_rate=0", "--learning_rate=0: must be more than 0"),
      ("--batch_norm=on", "--batch_norm=on: must be one of freeze, train"),
      ("--xla=maybe", "--xla=maybe: must be one of auto, on, off"),
      ("--weights=imagenet", "--weights=imagenet: there are none for"),
      ("--dataset=folder", "--data_dir: needed by --dataset=folder"),
      ("--dataset=binary_masks", "--data_dir: needed by --dataset=binary"),
      ("--dataset=image_list", "--data_dir: needed by --dataset=image_list"))
  def test_impossible_values(self, argument, line):
    self.assertStartsWith(self.refused(argument), line)

  def test_lists_without_images_to_choose_or_test_on(self):
    line = self.refused("--dataset=image_list", "--data_dir=x",
                        "--train_list=t.txt")
    self.assertStartsWith(line, "--val_list: needed by --dataset=image_list")

  @parameterized.parameters(
      "--schedule=alternating", "--schedule=combined", "--alpha=1",
      "--supervised_share=0.2", "--consistency_weight=1",
      "--unlabeled_batch_size=8", "--consistency_learning_rate=1e-5",
      "--mask_intensity=8", "--mask_scale=none")
  def test_not_used_by_the_objective(self, argument):
    """Even where it holds the default."""
    line = self.refused("--objective=supervised", argument)
    self.assertStartsWith(line, argument.partition("=")[0])
    self.assertIn("not used with --objective=supervised; it goes with "
                  "--objective=atcon", line)

  @parameterized.parameters(
      ("combined", "--alpha=1"), ("combined", "--supervised_share=.5"),
      ("consistency", "--supervised_share=.5"),
      ("alternating", "--consistency_weight=2"),
      ("consistency", "--consistency_weight=2"),
      ("combined", "--consistency_learning_rate=1e-4"),
      ("consistency", "--learning_rate=1e-4"),
      ("consistency", "--head_learning_rate=1e-4"),
      ("consistency", "--batch_norm=freeze"))
  def test_not_used_by_the_schedule(self, schedule, argument):
    line = self.refused(f"--schedule={schedule}", argument)
    self.assertStartsWith(line, argument.partition("=")[0])
    self.assertIn(f"not used with --schedule={schedule}; it goes with "
                  "--schedule=", line)

  @parameterized.parameters(
      ("shapes", "--data_dir=x", "voc or folder or image_list "
       "or binary_masks"),
      ("shapes", "--max_bad_images=0", "voc or folder or image_list "
       "or binary_masks"),
      ("folder", "--train_list=x", "image_list"),
      ("shapes", "--voc_year=2007", "voc"),
      ("folder", "--voc_year=2012", "voc"),
      ("folder", "--keep_difficult", "voc"))
  def test_not_used_by_the_data_set(self, dataset, argument, goes_with):
    line = self.refused(f"--dataset={dataset}", argument)
    self.assertStartsWith(line, argument.partition("=")[0])
    self.assertEndsWith(line, f"not used with --dataset={dataset}; it goes "
                        f"with --dataset={goes_with}")

  def test_not_used_by_the_model(self):
    line = self.refused("--model=resnet50", "--width=0.5")
    self.assertEqual(line, "--width=0.5: not used with --model=resnet50; it "
                     "goes with --model=mobilenet or mobilenet_v2")
    line = self.refused("--model=vgg16", "--input_range=0..1")
    self.assertStartsWith(line, "--input_range=0..1: --model=vgg16 knows")
    line = self.refused("--model=vgg16", "--batch_norm=train")
    self.assertEqual(line, "--batch_norm=train: --model=vgg16 has no "
                     "BatchNorm layer")
    path = self.file("own.keras")
    line = self.refused(f"--model={path}", "--weights=imagenet")
    self.assertEndsWith(line, "brings its own weights")

  @parameterized.parameters("--shots=8", "--unlabeled=all",
                            "--single_label_only")
  def test_not_used_beside_a_list_of_images(self, argument):
    line = self.refused("--splits=W/run/splits.json", argument)
    self.assertStartsWith(line, argument.partition("=")[0])
    self.assertIn("not used with --splits=W/run/splits.json", line)

  @parameterized.parameters(
      ("--batch_positive_share=0.05", "--batch_positive_share=0.05: 0 positive "
       "of the 8 images in a batch; at least one must be positive"),
      ("--batch_positive_share=0.95", "--batch_positive_share=0.95: 8 positive "
       "of the 8 images in a batch"),
      ("--batch_positive_share=1.5", "--batch_positive_share=1.5: must be at "
       "most 1"),
      ("--false_alarm_rates=.1,2", "--false_alarm_rates=.1,2: '2' must be a "
       "number from 0 to 1"),
      ("--false_alarm_rates=few", "--false_alarm_rates=few: 'few' must be"),
      ("--classes=positive,negative", "--classes=positive,negative: not used "
       "with --dataset=binary_masks"))
  def test_two_classes(self, argument, line):
    self.assertStartsWith(
        self.refused("--dataset=binary_masks", "--data_dir=d", argument), line)

  @parameterized.parameters("--batch_positive_share=0.5",
                            "--false_alarm_rates=0.1")
  def test_positives_need_two_classes(self, argument):
    self.assertEndsWith(self.refused(argument), "not used with --dataset="
                        "shapes; it goes with --dataset=binary_masks or folder "
                        "or image_list")

  @parameterized.parameters(
      ("--mask=constant", "--second_map=gradient"),
      ("--mask=constant", "--mask_intensity=4"),
      ("--mask=constant", "--mask_scale=std"),
      ("--warm_start=W/run", "--weights=imagenet"))
  def test_what_another_flag_makes_useless(self, other, argument):
    line = self.refused("--model=mobilenet", "--objective=atcon", other,
                        argument)
    self.assertStartsWith(line, argument.partition("=")[0])
    self.assertIn(f"not used with {other}", line)

  def test_the_map_of_a_teacher_is_constant_already(self):
    line = self.refused("--teacher=ema", "--stop_gradient=first")
    self.assertStartsWith(line, "--stop_gradient=first: that map is the")

  def test_two_ways_to_say_the_same(self):
    line = self.refused("--alpha=2", "--supervised_share=0.2")
    self.assertStartsWith(line, "--alpha=2.0: says the same as "
                          "--supervised_share")

  def test_a_config_made_by_hand_is_held_to_the_same(self):
    for wrong in [dict(objective="supervised", mask_scale="std"),
                  dict(alpha=1.0, supervised_share=0.5),
                  dict(model="vgg16", input_range="-1..1"),
                  dict(splits="a.json", shots=4)]:
      with self.assertRaises(UserError):
        Config(**wrong).resolve()

  def test_a_misspelt_flag(self):
    with self.assertRaisesRegex(flags.Error, "'shotz'.*shots"):
      parse("--shotz=3")

  def test_no_number(self):
    with self.assertRaisesRegex(flags.Error, "--steps=many"):
      parse("--steps=many")


# Command lines that between them set every flag.
RUNS = (
    (),
    ("--objective=supervised", "--steps=7", "--eval_every=3",
     "--checkpoint_every=2", "--seed=4", "--single_label_only",
     "--unlabeled=40", "--batch_size=3", "--learning_rate=1e-3",
     "--head_learning_rate=0.1234567890123", "--augment=",
     "--random_labels"),
    ("--dataset=voc", "--data_dir=a b/VOCdevkit", "--voc_year=2012",
     "--objective=atcon", "--keep_difficult", "--classes=cat,dog",
     "--max_bad_images=3", "--width=0.35", "--weights=w.weights.h5",
     "--image_size=161", "--batch_norm=train", "--reflect_padding",
     "--alpha=12.5", "--mask_scale=std", "--mask_intensity=4",
     "--split_seed=9", "--shots=2"),
    ("--dataset=folder", "--data_dir=photos", '--classes="salt, pepper",tea',
     "--model=resnet50", "--cam_layer=conv4_block6_out,conv5_block3_out",
     "--schedule=combined", "--consistency_weight=0.1",
     "--unlabeled_batch_size=4", "--splits=W/old/splits.json",
     "--unlabeled_dir=more"),
    ("--dataset=image_list", "--data_dir=photos", "--train_list=a b/t.txt",
     "--val_list=v.txt", "--test_list=test.txt", "--class_list=names.txt"),
    ("--schedule=consistency", "--warm_start=W/base",
     "--consistency_learning_rate=5e-5", "--bootstrap=0",
     "--summary_images=0", "--eval_batch_size=5", "--xla=off",
     "--augment=color,rotation,vertical_flip"),
    ("--supervised_share=0.5", "--weights=none"),
    ("--dataset=binary_masks", "--data_dir=parts", "--shots=0",
     "--unlabeled=labeled", "--batch_positive_share=0.25",
     "--false_alarm_rates=0.0005,0.2"),
    ("--first_map=integrated_gradients", "--second_map=smooth_grad",
     "--ig_steps=4", "--noise_samples=3", "--match=upsample",
     "--similarity=ssim",
     "--target=top2", "--stop_gradient=second", "--teacher=ema",
     "--ema_decay=0.9"),
    ("--mask=random", "--target=labels", "--unlabeled=labeled"),
    ("--objective=layer_consistency", "--cam_layer=conv4,relu4",
     "--layer_loss=inclusion", "--noseparation"),
    ("--objective=self_training", "--bank_every=10", "--pseudo_per_class=5",
     "--pseudo_negatives=0.5", "--equivariance_weight=0.1",
     "--atcon_weight=0.4"),
    ("--objective=self_training", "--start=ranked_probe", "--head=linear",
     "--probe_views=plain", "--probe_strength=0", "--class_prior=prior.json",
     "--pseudo_share=0.4", "--strong_augment=crop,color", "--refit=off",
     "--trained_layers=all"),
    ("--objective=agree", "--agree_similarity=cosine", "--bank_every=5",
     "--agree_temperature=0.2", "--agree_teacher=ema", "--agree_decay=0.9"),
    ("--objective=self_training", "--agree_weight=0.2",
     "--agree_loss=similarity"),
    ("--objective=probe", "--dataset=voc"),
    ("--objective=ranked_probe", "--dataset=voc"),
    ("--objective=gain", "--gain_masks=joint", "--gain_omega=30",
     "--gain_sigma=0.6", "--gain_fill=126,84,41", "--cl_weight=2",
     "--am_weight=0.8", "--am_on=all", "--am_gradient_scale=0.5",
     "--am_start_step=2", "--ex_weight=10", "--ex_start_step=3",
     "--ex_fraction=0.3", "--ex_masks=boxes"),
    ("--objective=gain", "--gain_fill=mean", "--am_gradients=off",
     "--record_positives=3", "--record_negatives=2", "--record_every=5",
     "--evaluate_first"),
    ("--objective=laso", "--set_units=64", "--class_embed_weight=2",
     "--class_fake_weight=0.5", "--class_union_weight=0.3",
     "--class_intersection_weight=0.7", "--class_subtraction_weight=1",
     "--recon_fake_weight=0.1", "--recon_union_weight=0.2",
     "--recon_intersection_weight=0.4", "--recon_subtraction_weight=0.6"),
    ("--objective=tame", "--warm_start=W/base", "--shots=0",
     "--tame_version=no_skip", "--feature_layers=relu2,relu4",
     "--max_learning_rate=0.3", "--weight_decay=0", "--target=labels",
     "--cross_entropy_weight=1", "--area_weight=3", "--area_power=0.5",
     "--variation_weight=0"),
    ("--objective=l_cam", "--warm_start=W/base", "--l_cam_version=fm",
     "--batch_size=16"),
)


class RoundTripTest(Case):

  @parameterized.parameters(*((run,) for run in RUNS))
  def test_json(self, run):
    got = parse(*run)
    stored = got.to_json()
    self.assertEqual(Config.from_json(stored), got)
    self.assertEqual(list(json.loads(stored)), list(FIELDS))

  @parameterized.parameters(*((run,) for run in RUNS))
  def test_flagfile(self, run):
    got = parse(*run)
    path = self.file("flags.txt", got.to_flags())
    self.assertEqual(parse(f"--flagfile={path}"), got)

  @parameterized.parameters(*((run,) for run in RUNS))
  def test_resolving_again_changes_nothing(self, run):
    got = parse(*run)
    self.assertEqual(got.resolve(), got)

  def test_of_a_keras_file(self):
    path = self.file("own.keras")
    got = parse(f"--model={path}", "--input_range=imagenet")
    stored = self.file("flags.txt", got.to_flags())
    self.assertEqual(parse(f"--flagfile={stored}"), got)
    self.assertEqual(Config.from_json(got.to_json()), got)

  def test_the_runs_above_set_every_flag(self):
    text = "\n".join(a for run in RUNS for a in run)
    missing = {name for name in FIELDS
               if f"--{name}" not in text and f"--no{name}" not in text}
    # Set in the tests above, where their values matter.
    self.assertEqual(missing, {"input_range"})

  def test_settings_of_another_version(self):
    """What is new has its default, what is gone is left out."""
    got = Config.from_json('{"shots": 3, "gone": 1, "classes": ["a", "b"]}')
    self.assertEqual(got, Config(shots=3, classes=("a", "b")))

  def test_flags_hold_only_what_differs(self):
    self.assertEqual(Config().to_flags().strip(), "")
    self.assertEqual(parse("--steps=3", "--shots=8").to_flags().splitlines(),
                     ["--objective=atcon", "--split_seed=0",
                      "--model=tiny_cnn", "--weights=none",
                      "--image_size=64", "--start=prior", "--head=linear",
                      "--schedule=alternating", "--steps=3", "--learning_rate=0.002",
                      "--head_learning_rate=0.002",
                      "--consistency_learning_rate=0.0002",
                      "--trained_layers=all"])

  def test_every_flag_has_a_help_line(self):
    for field in FIELDS.values():
      self.assertNotEmpty(field.metadata["help"], field.name)
      self.assertNotIn("\n", field.metadata["help"], field.name)

  def test_the_page_of_options_is_of_these(self):
    self.assertEqual(options.PAGE.read_text("utf-8"), options.page(),
                     "write it again: python -m tools.options")


if __name__ == "__main__":
  absltest.main()
