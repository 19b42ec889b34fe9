"""Settings stored as JSON and as a flag file."""

import json

from absl import flags
from absl.testing import absltest
from absl.testing import parameterized

from atcon_tf.config import Config
from tests.config.command_line import Case
from tests.config.command_line import FIELDS
from tests.config.command_line import parse

# Command lines that together set every flag.
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
     "--split_seed=9", "--shots=2", "--class_weights=balanced",
     "--patience=3"),
    ("--dataset=folder", "--data_dir=photos", '--classes="salt, pepper",tea',
     "--model=resnet50", "--cam_layer=conv4_block6_out,conv5_block3_out",
     "--schedule=combined", "--consistency_weight=0.1",
     "--unlabeled_batch_size=4", "--splits=W/old/splits.json",
     "--unlabeled_dir=more", "--resize=pad", "--cache=disk",
     "--cache_dir=a b/images"),
    ("--dataset=image_list", "--data_dir=photos", "--train_list=a b/t.txt",
     "--val_list=v.txt", "--test_list=test.txt", "--class_list=names.txt"),
    ("--dataset=csv", "--table=a b/t.csv", "--group_column=who is it"),
    ("--dataset=coco", "--annotations=t.json", "--val_annotations=v.json",
     "--test_annotations=test.json", r"--group_pattern=^(p\d{2},?)/[^#]+ x$"),
    ("--dataset=svhn", "--svhn_extra"),
    ("--dataset=video", "--table=clips.csv", "--frames=8", "--stride=2",
     "--fps=12.5", "--window_seconds=4.5", "--test_clips=3",
     "--temporal_weights=pooled", "--clip_cache=W/clips"),
    ("--dataset=video", "--data_dir=clips", "--clip_seconds=2.5"),
    ("--dataset=moving_shapes", "--frames=8"),
    ("--dataset=tfds:a/b:1.0.0", "--no_download",
     "--tfds_splits=train[:80%],train[80%:],test"),
    ("--schedule=consistency", "--warm_start=W/base",
     "--consistency_learning_rate=5e-5", "--notest_consistency",
     "--bootstrap=0", "--summary_images=0", "--eval_batch_size=5", "--xla=off",
     "--tf32=off", "--precision=mixed_bfloat16",
     "--augment=color,rotation,vertical_flip"),
    ("--supervised_share=0.5", "--weights=none", "--keep=average"),
    ("--dataset=binary_masks", "--data_dir=parts", "--shots=0",
     "--unlabeled=labeled", "--batch_positive_share=0.25",
     "--false_alarm_rates=0.0005,0.2", "--operating_point=precision:0.9"),
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
     "--feature_cache=kept",
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
    # test_of_a_keras_file sets it.
    self.assertEqual(missing, {"input_range"})

  def test_settings_of_another_version(self):
    """A missing field gets its default; an unknown key is left out."""
    got = Config.from_json('{"shots": 3, "gone": 1, "classes": ["a", "b"]}')
    self.assertEqual(got, Config(shots=3, classes=("a", "b")))

  def test_flags_hold_only_what_differs(self):
    self.assertEqual(Config().to_flags().strip(), "")
    self.assertEqual(parse("--steps=3", "--shots=8").to_flags().splitlines(),
                     ["--objective=atcon", "--split_seed=0",
                      "--model=tiny_cnn", "--weights=none",
                      "--image_size=64", "--start=prior", "--head=linear",
                      "--schedule=alternating", "--steps=3",
                      "--learning_rate=0.002",
                      "--head_learning_rate=0.002",
                      "--consistency_learning_rate=0.0002",
                      "--trained_layers=all"])

  def test_auto_stands_for_zero(self):
    self.assertEqual(parse("--eval_batch_size=auto").eval_batch_size, 0)
    self.assertEqual(parse("--eval_batch_size=8").eval_batch_size, 8)
    with self.assertRaisesRegex(flags.Error, "auto or a number"):
      parse("--eval_batch_size=many")


if __name__ == "__main__":
  absltest.main()
