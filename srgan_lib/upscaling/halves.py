"""A prepared network in half precision: its products, with what costs PSNR left in float32.

What reads the image and the sum of the long skip stay in float32: the rest adds to them, and its own error is small beside
them. Images go in and come out as float32, but near white two neighbours of bfloat16 lie a whole grey level apart. So images
of more than 8 bits are for float32: see `Upscaler.for_depth`.
"""

import torch
from torch import nn

from ..models import EncoderDecoder, RRDBNet, SRResNet


class Half(nn.Module):
    """Layers with weights of a smaller type. Their input is cast to it; the result is float32 again where `back` says so."""

    def __init__(self, layers: nn.Module, kind: torch.dtype, back: bool = True):
        super().__init__()
        self.layers, self.kind, self.back = layers.to(kind), kind, back

    def forward(self, x):
        y = self.layers(x.to(self.kind))
        return y.float() if self.back else y

    def extra_repr(self) -> str:
        return f"{self.kind}"  # tells results of two precisions apart


def halve(network: nn.Module, kind: torch.dtype) -> nn.Module:
    """Put the parts of every generator in a prepared network into half precision, in place -> the network."""
    for part in list(network.modules()):
        if isinstance(part, SRResNet):
            part.body, part.body_end = Half(part.body, kind, back=False), Half(part.body_end, kind)
            if sum(isinstance(layer, nn.Conv2d) for layer in part.upsample.modules()) > 1:  # a single one is small, and its errors are a tint
                part.upsample = Half(part.upsample, kind)
        elif isinstance(part, RRDBNet):
            part.body, part.conv_body, part.inner = Half(part.body, kind, back=False), Half(part.conv_body, kind), Half(part.inner, kind)
            object.__setattr__(part, "enlarge", part.inner)
        elif isinstance(part, EncoderDecoder):
            part.encoder, part.decoder, part.tail = Half(part.encoder, kind, back=False), Half(part.decoder, kind, back=False), Half(part.tail, kind)
    return network
