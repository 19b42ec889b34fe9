"""Scores of maps against the boxes and masks of their classes.

    pairs = PairScores()
    pairs.add(0, records, classes, maps)     # batch by batch
    pairs.columns()["iou"]                   # [P, thresholds]
"""

import numpy as np

from atcon_tf.data import class_masks
from atcon_tf.evaluation.metrics import localization
from atcon_tf.evaluation.metrics import segmentation


class PairScores:
  """Collects the fields of `predictor.Predictions` that describe pairs."""

  def __init__(self, scores_boxes=True):
    """Begins without a pair.

    Args:
      scores_boxes: whether maps are scored against boxes, or only against
        masks.
    """
    self._scores_boxes = scores_boxes
    self.image, self.label, self.boxes = [], [], []
    self.iou = [np.zeros([0, len(localization.THRESHOLDS)])]
    self.pointing = [np.zeros([0])]
    self.masks = [np.zeros([0, 2, len(localization.THRESHOLDS)])]

  def add(self, first, batch, classes, cams):
    """Scores the maps of a batch.

    Args:
      first: index of the first image.
      batch: list of `Record`.
      classes: `{class: boxes}` of each record, see `class_boxes.of_record`.
      cams: `[B, K, H, W]`, a map for each of these classes; see
        `class_boxes.evidence`.
    """
    chosen, boxes, masks, size = [], [], [], cams.shape[2:]
    masked = any(present and record.mask
                 for record, present in zip(batch, classes))
    for i, (record, present) in enumerate(zip(batch, classes)):
      mask = record.mask() if present and record.mask else None
      for k, (c, own) in enumerate(present.items()):
        chosen.append(cams[i, k])
        boxes.append(own)
        if masked:
          masks.append(class_masks.class_mask(mask, c, size))
        self.image.append(first + i)
        self.label.append(c)
    if not chosen:
      return
    self.boxes += boxes
    chosen, count = np.stack(chosen), len(chosen)
    iou, pointing, mask_iou = (np.full([count, *rows[0].shape[1:]], np.nan)
                               for rows in (self.iou, self.pointing,
                                            self.masks))
    if self._scores_boxes:
      iou = localization.box_iou(chosen, boxes)
      pointing = localization.pointing_game(chosen, boxes)
    if masked:
      centre = np.repeat(segmentation.centre_map(size)[None], count, 0)
      mask_iou = np.stack([segmentation.mask_ious(m, masks)
                           for m in (chosen, centre)], 1)
    self.iou.append(iou)
    self.pointing.append(pointing)
    self.masks.append(mask_iou)

  def columns(self):
    """The fields of `Predictions` that describe pairs, as a dict."""
    masks = np.concatenate(self.masks)
    return dict(pair_image=np.array(self.image, np.int64),
                pair_class=np.array(self.label, np.int64),
                pair_boxes=self.boxes, iou=np.concatenate(self.iou),
                pointing=np.concatenate(self.pointing).astype(float),
                mask_iou=masks[:, 0], centre_mask_iou=masks[:, 1])
