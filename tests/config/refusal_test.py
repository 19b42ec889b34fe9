"""Settings that are refused, and the line that refuses them."""

from absl import flags
from absl.testing import absltest
from absl.testing import parameterized

from atcon_tf.config import Config
from atcon_tf.config import UserError
from tests.config.command_line import Case
from tests.config.command_line import parse


class RefusalTest(Case):

  def refused(self, *arguments):
    """The one line of the error that refuses a command line."""
    with self.assertRaises(UserError) as caught:
      parse(*arguments)
    line = caught.exception.as_flags()
    self.assertNotIn("\n", line)
    return line

  def test_a_misspelt_name_is_told_the_nearest(self):
    self.assertEndsWith(self.refused("--objective=gian"), "; nearest: gain")

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
      ("--xla=maybe", "--xla=maybe: must be one of auto, on, off, steps"),
      ("--weights=imagenet", "--weights=imagenet: --model=tiny_cnn has no"),
      ("--dataset=folder", "--data_dir: needed by --dataset=folder"),
      ("--dataset=binary_masks", "--data_dir: needed by --dataset=binary"),
      ("--dataset=image_list", "--data_dir: needed by --dataset=image_list"))
  def test_impossible_values(self, argument, line):
    self.assertStartsWith(self.refused(argument), line)

  def test_what_is_not_computed_otherwise(self):
    self.assertStartsWith(
        self.refused("--objective=self_training", "--xla=steps"),
        "--xla=steps: goes with --objective=supervised or atcon, not with")
    self.assertStartsWith(
        self.refused("--objective=probe", "--model=mobilenet_v2",
                     "--precision=mixed_float16"),
        "--precision=mixed_float16: not used with --objective=probe")

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
    """A given flag is refused even if it holds the default."""
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
      ("shapes", "--data_dir=x", "voc or folder or image_list or "
       "binary_masks or csv or coco or label_studio or cvat or svhn or "
       "tfds:NAME or prepared or video"),
      ("shapes", "--max_bad_images=0", "voc or folder or image_list or "
       "binary_masks or csv or coco or label_studio or cvat or svhn or "
       "tfds:NAME or prepared or video"),
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
                     "goes with --model=mobilenet or mobilenet_v2 or r3d_18 or "
                     "mc3_18 or r2plus1d_18")
    line = self.refused("--model=vgg16", "--input_range=0..1")
    self.assertStartsWith(line, "--input_range=0..1: not used with "
                          "--model=vgg16, whose range is known")
    line = self.refused("--model=vgg16", "--batch_norm=train")
    self.assertEqual(line, "--batch_norm=train: --model=vgg16 has no "
                     "BatchNorm layer")
    path = self.file("own.keras")
    line = self.refused(f"--model={path}", "--weights=imagenet")
    self.assertEndsWith(line, "which holds its own weights")

  @parameterized.parameters("--shots=8", "--unlabeled=all",
                            "--single_label_only")
  def test_not_used_beside_a_list_of_images(self, argument):
    line = self.refused("--splits=W/run/splits.json", argument)
    self.assertStartsWith(line, argument.partition("=")[0])
    self.assertIn("not used with --splits=W/run/splits.json", line)

  @parameterized.parameters(
      ("--batch_positive_share=0.05", "--batch_positive_share=0.05: gives 0 "
       "positives in a batch of 8 images; at least one must be positive"),
      ("--batch_positive_share=0.95", "--batch_positive_share=0.95: gives 8 "
       "positives in a batch of 8 images"),
      ("--batch_positive_share=1.5", "--batch_positive_share=1.5: must be at "
       "most 1"),
      ("--false_alarm_rates=.1,2", "--false_alarm_rates=.1,2: '2' must be a "
       "number from 0 to 1"),
      ("--operating_point=recall:0.9", "--operating_point=recall:0.9: must be "
       "one of sensitivity, precision"),
      ("--operating_point=precision:90", "--operating_point=precision:90: must"
       " be one of sensitivity, precision, a colon and a share above 0"),
      ("--operating_point=precision", "--operating_point=precision: must be"),
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
                        "or image_list or csv or label_studio or cvat or svhn "
                        "or tfds:NAME or prepared or video")

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

  def test_random_labels_have_no_best_weights_to_wait_for(self):
    line = self.refused("--objective=supervised", "--random_labels",
                        "--patience=2")
    self.assertStartsWith(line, "--patience=2: used with --keep=best alone, "
                          "not with --keep=last, which --random_labels means")

  def test_the_map_of_a_teacher_is_constant_already(self):
    line = self.refused("--teacher=ema", "--stop_gradient=first")
    self.assertStartsWith(line, "--stop_gradient=first: not used with "
                          "--teacher=ema")

  def test_two_ways_to_say_the_same(self):
    line = self.refused("--alpha=2", "--supervised_share=0.2")
    self.assertStartsWith(line, "--alpha=2.0: sets the same probability "
                          "as --supervised_share")

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


if __name__ == "__main__":
  absltest.main()
