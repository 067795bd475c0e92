"""Training of toonvid's generators, after CartoonGAN.

In: photos, cartoons and videos. Out: engines that `toonvid` runs. The way of the data:

    prepare     videos and photos -> checked images with a manifest
    data        folders of images -> batches of crops
    networks    generators, discriminators, content networks
    training    batches -> a trained generator
    evaluation  figures of an engine: FID, KID, warping error, sharpness
    exporting   a trained generator -> an engine
    config      every value of a training run; `presets` has the configs to start from
    device      the device of a run, and its memory
    files       atomic writing

The paper is Chen, Lai and Liu, "CartoonGAN: Generative Adversarial Networks for Photo
Cartoonization", CVPR 2018, and the preset `paper` is what it describes; docs/research/training.md
lists what had to be chosen where it is silent. The other presets depart from it; each departure is
named again where it is made:

- `improved` and `lite` compare features of ResNet-50 instead of VGG-19
  (`trainer.networks.content_features`), use least squares (`trainer.training.losses`), sample
  images at several scales, and export the exponential moving average of the generator's weights
  (`trainer.presets`).
- `improved` has instance norm, LeakyReLU, and resizing instead of transposed convolutions
  (`trainer.networks.paper`).
- `lite` learns from drawings of the photos in its initialization phase instead of from the photos
  (`trainer.data.flat_drawing`). Its generator is a small one without normalization, for real time,
  and its discriminator a cheap one at two scales (`trainer.networks.lite`). Pixel, color, stability
  and equivariance losses are added to the content loss (`trainer.training.losses`). Drawings can be
  recolored to the cartoons' palette (`trainer.data.color_transfer`).
- `cel` draws two layers, flat color and ink, which a fixed function composes
  (`trainer.networks.cel`). It learns them from a drawing in the same layers
  (`trainer.data.drawing`, `trainer.training.layer_losses`), whose lines may be wider and whose
  shapes rounder (`trainer.data.layer_changes`), in the cartoons' palette (`trainer.data.palette`).
- `distilled` learns from the output of a trained generator, and `cel` may learn from the layers of
  one (`trainer.training.distill`).

Importing this package imports nothing else; PyTorch comes with the modules that need it.
"""
