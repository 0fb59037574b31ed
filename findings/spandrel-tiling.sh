#!/usr/bin/env bash
# spandrel 0.4.2 describes RealPLKSR as a model that supports tiling. Its blocks have group norm, whose mean and variance are taken over the
# whole image, so a tile is not the same place of the whole, however wide its margin is. DAT's channel attention averages over the image too.
# Random weights and noise; nothing is downloaded but packages. Exits 0 while the behaviour is as described, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 spandrel==0.4.2
"$folder/venv/bin/python" - <<'PY'
import sys
import spandrel, torch
from spandrel.architectures.PLKSR import RealPLKSR

torch.manual_seed(0)
network = RealPLKSR(dim=16, n_blocks=3, upscaling_factor=4, kernel_size=9)
for value in network.parameters():
    value.data *= 1.5 if value.ndim > 1 else 1
model = spandrel.ModelLoader().load_from_state_dict(network.state_dict()).eval()
ramp = torch.linspace(0, 0.6, 256).expand(1, 3, 64, 256)
image = ramp + 0.4 * torch.rand(1, 3, 64, 256)
whole, half = model(image), model(image[..., :128])
apart = 255 * (whole[..., :4 * 64] - half[..., :4 * 64]).abs().max().item()  # 64 pixels and more from the cut; the convolutions reach 3 * 7 + 1
print("torch", torch.__version__, "spandrel", spandrel.__version__)
print(f"{model.architecture.name}: tiling {model.tiling.name}; 64 pixels from the cut a tile differs from the whole by {apart:.2f} grey levels")
sys.exit(0 if model.tiling is spandrel.ModelTiling.SUPPORTED and apart > 0.01 else 1)
PY
