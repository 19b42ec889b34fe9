"""The words of tables and pages, explained in one line each."""

WORDS = {
    "shots": "the number of labelled images of each class that a run trains "
             "on.",
    "pool": "the training images whose labels the run does not see.",
    "supervised update": "one training step on labelled images.",
    "update on unlabelled images": "one training step on images of the pool: "
                                   "their maps shall be consistent, or a "
                                   "bank takes the place of their labels.",
    "bank": "the images of the pool that rank highest for each class, used as "
            "if they were labelled; it is ranked again from time to time.",
    "macro, weighted": "the mean over the classes: each counts the same, or "
                       "as much as it has images.",
    "mAP": "mean average precision: how purely the images of a class come "
           "first when all are sorted by its probability; 1 is perfect.",
    "p": "the p value of a difference between two scores of the same images: "
         "twice the share of random resamples of the images in which the other "
         "run is as good or better. An interval that leaves out 0 goes with p "
         "below 0.1. Only the images "
         "(or groups of them) in which the two differ count: k of them cannot "
         "give a p below 2 / 2^k.",
    "consistency": "how much the map of the predicted class stays the same "
                   "when the pixels that matter little are dimmed: 1 is the "
                   "same map, 0 an unrelated one, below 0 an opposite one: "
                   "bright where the other is dark.",
    "raw mask": "the dimming as the ATCON paper publishes it; it is weak. "
                "Consistency without this word uses a mask of full contrast.",
    "box IoU, pointing game": "how well a map's box overlaps the drawn one, "
                              "and how often its brightest point lies inside."}


def markdown():
  """The glossary as a Markdown list."""
  return "\n".join(f"- **{word}**: {text}" for word, text in WORDS.items())
