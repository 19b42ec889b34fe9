"""Scores of a run on a split."""

from atcon_tf.data import pipeline
from atcon_tf.evaluation.predictor import Predictor
from atcon_tf.evaluation import scoring
from atcon_tf.runs import run_data


def evaluate(run, split="test", data_dir="", progress=False, **other):
  """Scores of a run on a split, at the thresholds of its validation.

  Args:
    run: a `runs.Run`.
    split: "train", "val" or "test".
    data_dir: of the data; empty: that of the run.
    progress: say what is done, and show a bar.
    **other: `dataset`, `table` and `annotations` of other data, see
      `run_data.load_part`.
  Returns:
    `{"split", "images", "thresholds", split: scores}`; see `scoring.judge`.
    Of clips, "images" is their number, and "frames" that of a clip.
    With --test_clips also `scoring.clip_level`.
  """
  records, images = run_data.load_part(run, split, data_dir, **other)
  config, thresholds = run.config, run.result["thresholds"]
  predictor = Predictor(run.classifier, run.multi_label,
                        pipeline.evaluation_size(config.eval_batch_size),
                        config.xla)
  if progress:
    print(f"scoring {split} ({len(records)} "
          f"{'clips' if config.frames else 'images'})", flush=True)
  predictions = predictor.predict(images, records, progress,
                                  views=config.test_clips)
  table = scoring.tabulate(predictions, thresholds, run.class_names,
                           config.false_alarm_rates)
  return {"split": split, "images": len(records), "thresholds": thresholds,
          "steps": run.result["steps"], "seconds": run.result["seconds"],
          **({"frames": config.frames} if config.frames else {}),
          split: scoring.judge(table, config.bootstrap),
          **scoring.clip_level(predictions, thresholds)}
