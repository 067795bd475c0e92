"""Training of toonvid's generators, after CartoonGAN.

The paper: Chen, Lai and Liu, "CartoonGAN: Generative Adversarial Networks for Photo
Cartoonization", CVPR 2018. The preset `paper` is that; docs/research/training.md lists what it had to choose
where the paper is silent. The others depart from it, each named again where it is made:

- `improved` and `lite` compare features of ResNet-50, not of VGG-19 (`trainer.networks.content_features`), use least
  squares (`trainer.training.losses`), show pictures at several scales and export the running mean of the
  generator's weights (`trainer.presets`).
- `improved` has instance norm, LeakyReLU, and resizing for transposed convolutions
  (`trainer.networks.paper`).
- `lite` starts on an abstraction of the photo, flat colours and ink lines, and not on the photo
  itself (`trainer.data.drawing`); its generator is a small one without normalisation, for real time,
  its discriminator a cheap one at two scales (`trainer.networks.lite`); l1, colour, stability and
  equivariance losses stand beside the content loss (`trainer.training.losses`), and drawings may take on the
  cartoons' colours (`trainer.data.color_transfer`).

Importing this package imports nothing else; PyTorch comes with the modules that need it.
"""
