"""Networks, and generators by name."""

from .layers import RRDB, DenseBlock, ResidualBlock, ShuffleConv2d, fold_shuffle, normalize, upsampler
from .loading import WEIGHTS, interpolate, is_gan, load_generator, shipped, usual_strength
from .mixed import Mixed, mix, share
from .networks import ARCHITECTURES, Discriminator, EncoderDecoder, Generator, PatchDiscriminator, RRDBNet, SRResNet
from .outside import Outside, measured
from .precision import PRECISIONS, choose_precision
from .published import from_published, load_published
from .start import begin_as_bicubic

__all__ = [
    "ARCHITECTURES", "PRECISIONS", "RRDB", "WEIGHTS", "DenseBlock", "Discriminator", "EncoderDecoder", "Generator", "Mixed", "Outside",
    "PatchDiscriminator", "RRDBNet", "ResidualBlock", "SRResNet", "ShuffleConv2d", "begin_as_bicubic", "choose_precision", "fold_shuffle",
    "from_published", "interpolate", "is_gan", "load_generator", "load_published", "measured", "mix", "normalize", "share", "shipped",
    "upsampler", "usual_strength",
]
