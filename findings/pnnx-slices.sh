#!/usr/bin/env bash
# pnnx 20261020 loses slices along height and width when a second input shape says that these are free. With one shape x[..., 2:] becomes a Crop layer, and
# ncnn gives PyTorch's numbers. With inputshape2 the Crop is gone, without a message and with exit code 0: the result keeps its full size, and the
# difference of an image and itself two pixels further, a gradient as in edge detection, is zero everywhere. Slices of channels stay.
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
import ncnn, numpy, pnnx, torch


class Net(torch.nn.Module):
    """A convolution, then `after`."""

    def __init__(self, after):
        super().__init__()
        self.conv, self.after = torch.nn.Conv2d(3, 3, 3, padding=1), after

    def forward(self, x):
        return self.after(self.conv(x))


FREE = ["inputshape=[1,3,24,32]", "inputshape2=[1,3,37,40]"]


def through_ncnn(after, shapes):
    """(what PyTorch gives, what ncnn gives, the layers that pnnx wrote) for one image of 24 x 32 pixels."""
    torch.manual_seed(0)
    net, image = Net(after).eval(), torch.rand(1, 3, 24, 32)
    torch.jit.trace(net, image, check_trace=False).save("net.pt")
    subprocess.run([pnnx.EXEC_PATH, "net.pt", *shapes, "fp16=0"], check=True, capture_output=True)
    engine = ncnn.Net()
    engine.load_param("net.ncnn.param"), engine.load_model("net.ncnn.bin")
    extractor = engine.create_extractor()
    extractor.input("in0", ncnn.Mat(numpy.ascontiguousarray(image[0].numpy())).clone())
    found = numpy.array(extractor.extract("out0")[1])
    return net(image)[0].detach().numpy(), found, [line.split()[0] for line in open("net.ncnn.param").read().splitlines()[2:]]


gradient = lambda x: x[..., 2:] - x[..., :-2]
wanted, fixed, layers = through_ncnn(gradient, FREE[:1])
print(f"one shape:  PyTorch {wanted.shape}, ncnn {fixed.shape}, largest difference {abs(wanted - fixed).max():.1e}; {' '.join(layers)}")
_, free, fewer = through_ncnn(gradient, FREE)
print(f"two shapes: PyTorch {wanted.shape}, ncnn {free.shape}, largest value {abs(free).max():g}; {' '.join(fewer)}")
channels, kept, _ = through_ncnn(lambda x: x[:, 0:1] + x[:, 1:2], FREE)
print(f"two shapes, channels: largest difference {abs(channels - kept).max():.1e}")
same = abs(wanted - fixed).max() < 1e-5 and layers.count("Crop") == 2
sys.exit(0 if same and free.shape == (3, 24, 32) and not free.any() and "Crop" not in fewer and abs(channels - kept).max() < 1e-5 else 1)
PY
# one shape:  PyTorch (3, 24, 30), ncnn (3, 24, 30), largest difference 2.1e-07; Input Convolution Split Crop Crop BinaryOp
# two shapes: PyTorch (3, 24, 30), ncnn (3, 24, 32), largest value 0; Input Convolution Split BinaryOp
# two shapes, channels: largest difference 1.8e-07
