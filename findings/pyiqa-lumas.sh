#!/usr/bin/env bash
# pyiqa 0.1.16 has three lumas. `ssim` on Y ("ycbcr") rounds the luma to whole numbers, `psnr` on Y does not; and `psnry`, as it comes, takes the Y of YIQ, which
# runs from 0 to 255 and not from 16 to 235, so that it prints 20 log10(255 / 219) = 1.32 dB less than the PSNR on Y that papers print.
# Exits 0 while the behaviour is as described, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 pyiqa==0.1.16 scikit-image==0.26.0
"$folder/venv/bin/python" - <<'PY'
import math, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, pyiqa, torch
from skimage import data
from skimage.metrics import structural_similarity

image = torch.from_numpy(data.chelsea()[:128, :160]).permute(2, 0, 1)[None]
other = (image + torch.randint(-9, 10, image.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255).to(torch.uint8)
a, b = image / 255, other / 255
weights = torch.tensor([65.481, 128.553, 24.966])
lumas = [16 + (one * weights.view(1, 3, 1, 1)).sum(1)[0] for one in (a, b)]
rounded = [torch.floor(one + 0.5).double().numpy() for one in lumas]
exact = [one.double().numpy() for one in lumas]

def psnr(pair):
    return 10 * math.log10(255**2 / np.square(pair[0] - pair[1]).mean())

def ssim(pair):
    return structural_similarity(*pair, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)

y = {"test_y_channel": True, "color_space": "ycbcr"}
found = {"psnr on Y": float(pyiqa.create_metric("psnr", **y)(a, b)), "ssim on Y": float(pyiqa.create_metric("ssim", **y)(a, b)),
         "psnry": float(pyiqa.create_metric("psnry")(a, b))}
print("torch", torch.__version__, "pyiqa", pyiqa.__version__)
print(f"psnr on Y {found['psnr on Y']:.4f}; luma not rounded {psnr(exact):.4f}, rounded {psnr(rounded):.4f}")
print(f"ssim on Y {found['ssim on Y']:.6f}; luma not rounded {ssim(exact):.6f}, rounded {ssim(rounded):.6f}")
print(f"psnry     {found['psnry']:.4f}, {found['psnr on Y'] - found['psnry']:.3f} dB less")
as_told = (abs(found["psnr on Y"] - psnr(exact)) < 1e-3 < abs(found["psnr on Y"] - psnr(rounded)) and abs(found["ssim on Y"] - ssim(rounded)) < 1e-5
           < abs(found["ssim on Y"] - ssim(exact)) and 1.25 < found["psnr on Y"] - found["psnry"] < 1.4)
sys.exit(0 if as_told else 1)
PY
