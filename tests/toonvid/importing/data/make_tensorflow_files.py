"""Writes `small.tflite`, `saved_model/` and `cartoon.npy`. Needs TensorFlow; made with 2.21.

A network of two convolutions and statistics, with random weights. `cartoon.npy` is what TensorFlow
itself makes of `toonvid.backends.cartoon_check.sample_frame(64, 64)`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from toonvid.backends.cartoon_check import sample_frame

HERE = Path(__file__).parent
FREE = tf.TensorSpec([None, None, None, 3], tf.float32, "x")
FIXED = tf.TensorSpec([1, 64, 64, 3], tf.float32, "x")


class Generator(tf.Module):
    """(N, H, W, 3) in [-1, 1] to the same."""

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        self.first = tf.Variable(random.normal(0, 0.25, (3, 3, 3, 6)).astype("f"))
        self.bias = tf.Variable(random.normal(0, 0.1, (6,)).astype("f"))
        self.last = tf.Variable(random.normal(0, 0.3, (3, 3, 6, 3)).astype("f"))

    def draw(self, x: tf.Tensor) -> tf.Tensor:
        y = tf.nn.conv2d(x, self.first, 2, "SAME") + self.bias
        mean, variance = tf.nn.moments(y, [1, 2], keepdims=True)
        y = tf.nn.leaky_relu((y - mean) / tf.sqrt(variance + 1e-5))
        sides = tf.shape(y)
        y = tf.image.resize(y, (sides[1] * 2, sides[2] * 2))
        return tf.tanh(tf.nn.conv2d(y, self.last, 1, "SAME"))

    @tf.function(input_signature=[FREE])
    def free(self, x: tf.Tensor) -> tf.Tensor:
        return self.draw(x)

    @tf.function(input_signature=[FIXED])
    def fixed(self, x: tf.Tensor) -> tf.Tensor:
        return self.draw(x)


generator = Generator()
tf.saved_model.save(generator, str(HERE / "saved_model"), signatures=generator.free)
(HERE / "saved_model" / "fingerprint.pb").unlink()
concrete = generator.fixed.get_concrete_function()
converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], generator)
(HERE / "small.tflite").write_bytes(converter.convert())
values = sample_frame(64, 64)[None].astype("f") / 127.5 - 1
cartoon = (generator.fixed(tf.constant(values)).numpy() + 1) * 127.5
np.save(HERE / "cartoon.npy", np.clip(np.rint(cartoon), 0, 255).astype(np.uint8))
