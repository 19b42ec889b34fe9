"""What a model needs to be trained well: rates, steps, sizes."""

# Networks that have no ReLU, and so no guided mask.
WITHOUT_RELU = ("efficientnet_b0",)
# Networks whose layers have no batch statistics.
WITHOUT_BATCH_NORM = ("tiny_cnn", "vgg16", "vgg19")

# What a model needs to be trained well; every other setting is shared. Its
# objective, too: see docs/evidence.md.
# Fine-tuning: the values that were healthy on VOC with MobileNetV2.
FINE_TUNING = dict(
    weights="imagenet", steps=100, learning_rate=2e-5, head_learning_rate=3e-3,
    consistency_learning_rate=1e-5, max_learning_rate=1e-2)
FROM_SCRATCH = dict(
    weights="none", steps=300, learning_rate=2e-3, head_learning_rate=2e-3,
    consistency_learning_rate=2e-4, max_learning_rate=1e-1)
# The image sizes give each backbone a last map that is symmetric about the
# image centre wherever its padding allows one.
IMAGE_SIZE = dict(
    tiny_cnn=64, mobilenet_v2=225, mobilenet=221, resnet50=225, resnet101=225,
    densenet121=221, inception_v3=299, vgg16=224, vgg19=224,
    efficientnet_b0=225)
