"""Score several methods on one scene, at every focus level. Memory: one scene's images."""

from collections.abc import Mapping

import numpy as np

from refocal.evaluation import metrics
from refocal.evaluation.baselines import Method, crop
from refocal.evaluation.metrics import Map, Pixels
from refocal.evaluation.scores import SceneScores, Scores
from refocal.scenes.scene import Scene


def score_scene(scene: Scene, methods: Mapping[str, Method]) -> SceneScores:
    """Score what each method makes of a scene's photo at each of its focus levels, the border cropped."""
    photo = crop(scene.photo(), scene.border)
    truths = [crop(truth, scene.border) for truth in scene.stack()]
    sharp_photo = metrics.log_sharpness(photo)
    sharp_truths = [metrics.log_sharpness(truth) for truth in truths]
    levels: dict[str, tuple[Scores, ...]] = {}
    whole: dict[str, Scores] = {}
    for name, method in methods.items():
        images = [crop(method(scene, focus), scene.border) for focus in scene.focus]
        sharp_images = [metrics.log_sharpness(image) for image in images]
        rows = zip(images, truths, sharp_images, sharp_truths, strict=True)
        levels[name] = tuple(score_level(*row, sharp_photo) for row in rows)
        whole[name] = _accuracies(scene, images, truths) | {
            "control_r": metrics.control_r(
                sharp_images, scene.focus, sharp_photo, crop(scene.disparity(), scene.border)
            )
        }
    return SceneScores(scene.name, scene.focus, scene.trained, levels, whole)


def score_level(image: Pixels, truth: Pixels, sharp_image: Map, sharp_truth: Map, sharp_photo: Map) -> Scores:
    """Return the LEVEL_SCORES of one picture; sharpness is `metrics.log_sharpness`."""
    in_focus, out_of_focus = metrics.split_by_focus(sharp_truth, sharp_photo)
    return {
        "psnr": metrics.psnr(image, truth),
        "ssim": metrics.ssim(image, truth),
        "ms_ssim": metrics.ms_ssim(image, truth),
        "defocus_r": metrics.defocus_r(sharp_image, sharp_truth, sharp_photo),
        "in_focus_psnr": metrics.psnr(image, truth, in_focus),
        "out_of_focus_psnr": metrics.psnr(image, truth, out_of_focus),
    }


def _accuracies(scene: Scene, images: list[Pixels], truths: list[Pixels]) -> Scores:
    """Focus accuracy of nearest against farthest, and of five levels spread over those trained on."""
    trained = [index for index, was in enumerate(scene.trained) if was]
    if len(trained) < 2:
        return {"near_far_accuracy": None, "focus_accuracy": None}
    five = [trained[k] for k in np.unique(np.linspace(0, len(trained) - 1, min(5, len(trained))).round().astype(int))]
    accuracy = {}
    for name, chosen in (("near_far_accuracy", [trained[0], trained[-1]]), ("focus_accuracy", five)):
        accuracy[name] = metrics.focus_accuracy([images[k] for k in chosen], [truths[k] for k in chosen])
    return dict(accuracy)
