"""A prepared network in half precision: its products, with what costs PSNR left in float32.

Near white, neighbours of bfloat16 lie a whole grey level apart. So what reads the image, the long skip's sum, and the
convolution that writes the image stay in float32. All between them is computed in `kind`.
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
            part.upsample.layers = all_but_last(part.upsample.layers, kind)
        elif isinstance(part, RRDBNet):
            part.body, part.conv_body = Half(part.body, kind, back=False), Half(part.conv_body, kind)
            part.inner.layers = all_but_last(part.inner.layers, kind)
        elif isinstance(part, EncoderDecoder):
            part.encoder, part.decoder = Half(part.encoder, kind, back=False), Half(part.decoder, kind)
    return network


def all_but_last(layers: nn.Sequential, kind: torch.dtype) -> nn.Sequential:
    """The last layer writes the image, and stays in float32."""
    return nn.Sequential(Half(layers[:-1], kind), layers[-1])
