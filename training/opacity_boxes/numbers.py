"""The numbers of the source, and those that it does not tell.

References
----------
Pertoldi and Robinson-Tait, Identifying Opacities in Lung X-Rays, Niels Bohr Institute, 2021.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """How boxes are learnt.

    Attributes
    ----------
    learning_rate, momentum, weight_decay : float
        Of stochastic gradient descent; the source's.
    objectness, classifier, rpn_box, box_squared : float
        Weights of the four losses, the last of which is squared; the source's.
    epochs : int
        The source counts ten steps, from 0 to 9.
    batch : int
        Images a step; ours.
    flipped : float
        Share of images that are mirrored; ours, as the source tells no more than that it augments.
    brighter : float
        How far greys are stretched and lifted at most; ours.
    one_cycle : bool
        Whether the rate rises to its value and falls again, as a network without a start needs it; the source's stays.
    steepest : float or None
        Length to which longer gradients are cut, for the same reason; the source tells of none.
    """

    learning_rate: float = 1e-4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    objectness: float = 1.0
    classifier: float = 10.0
    rpn_box: float = 10.0
    box_squared: float = 0.5
    epochs: int = 10
    batch: int = 4
    flipped: float = 0.5
    brighter: float = 0.1
    one_cycle: bool = False
    steepest: float | None = None

    def loss(self, said: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of torchvision's losses."""
        return (
            self.objectness * said["loss_objectness"]
            + self.classifier * said["loss_classifier"]
            + self.rpn_box * said["loss_rpn_box_reg"]
            + self.box_squared * said["loss_box_reg"] ** 2
        )
