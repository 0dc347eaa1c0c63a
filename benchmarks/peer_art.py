"""UAP with DeepFool as in the Adversarial Robustness Toolbox, in a process of its own: prints its CPU seconds and fooling ratio.

``python -m benchmarks.peer_art network.safetensors images.safetensors 300 60 0.8 3``: the last four are images, xi, the target
fooling ratio, and DeepFool's classes.
"""

import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from art.attacks.evasion import UniversalPerturbation
from art.estimators.classification import PyTorchClassifier

from regen_lib.core.images import load_images
from regen_lib.core.runtime import start
from regen_lib.networks import load_network


def main(network_file: str, images_file: str, count: int, xi: float, target: float, classes: int) -> None:
    """Make one perturbation from the first ``count`` validation images; the toolbox clips nothing for so wide a range of pixels."""
    start(1)
    random.seed(0)  # the toolbox draws its order from it
    network, images = load_network(Path(network_file)), load_images(Path(images_file))["validation"].first(count)
    x = images.pixels.float().numpy()
    classifier = PyTorchClassifier(
        network, torch.nn.CrossEntropyLoss(), x.shape[1:], int(images.labels.max()) + 1, clip_values=(-1e4, 1e4), device_type="cpu"
    )
    options = {"max_iter": 10, "nb_grads": classes, "epsilon": 0.02, "verbose": False}
    attack = UniversalPerturbation(classifier, "deepfool", options, delta=1 - target, max_iter=20, eps=xi, norm=np.inf, verbose=False)
    begun = time.process_time()
    changed = attack.generate(x)
    taken = time.process_time() - begun
    before, after = (classifier.predict(batch).argmax(1) for batch in (x, changed))
    print(json.dumps({"seconds": taken, "fooling": float((before != after).mean()), "xi": float(np.abs(changed - x).max())}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
