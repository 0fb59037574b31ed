#!/usr/bin/env bash
# pnnx 20261020 ends with exit code 0 for a network whose padding follows from the size of its input, and writes a .param with a layer
# "pnnx.Expression", which ncnn of the same day does not know: the file that was reported as written cannot be loaded.
# Exits 0 while the behaviour is as described, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 pnnx==20261020 ncnn==1.0.20261020
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import subprocess, sys, warnings
warnings.simplefilter("ignore")
import ncnn, pnnx, torch
import torch.nn.functional as F

class Padded(torch.nn.Module):
    """A convolution of an image that is padded to a multiple of 4."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        height, width = x.shape[-2:]
        return self.conv(F.pad(x, (0, -width % 4, 0, -height % 4), mode="replicate"))

torch.jit.trace(Padded().eval(), torch.rand(1, 3, 24, 32), check_trace=False).save("net.pt")
done = subprocess.run([pnnx.EXEC_PATH, "net.pt", "inputshape=[1,3,24,32]", "inputshape2=[1,3,37,40]", "fp16=0"], capture_output=True, text=True)
layers = [line.split()[0] for line in open("net.ncnn.param").read().splitlines()[2:]]
loaded = ncnn.Net().load_param("net.ncnn.param")
print("torch", torch.__version__, "ncnn", ncnn.__version__, "pnnx 20261020")
print(f"pnnx ends with {done.returncode}; layers {layers}; ncnn's load_param gives {loaded}")
sys.exit(0 if done.returncode == 0 and "pnnx.Expression" in layers and loaded != 0 else 1)
PY
