"""The attacks for robustness tests: their names, and what a result is worth. `robustness` carries them out.

Besides those of this registry, every attack of `attacks.REGISTRY` and every custom one can be a test: x and its x′,
projected to the ε-ball, must be classified correctly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from aat_explore.attacks import spec_of


@dataclass(frozen=True)
class RobustnessTest:
    """A kind of test: its title, and what it proves.

    `alone`: strong enough to be a run's robust accuracy by itself. `joins`: counts in the worst case over several
    attacks. A test that is neither only shows how robust a network can be made to look. `usual`: entries of its record
    that its name omits. `meaning`: what it does, for the help, if it is neither and no attack to train with.
    """

    title: str
    alone: bool = False
    joins: bool = False
    usual: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    meaning: str = ""


PERTURBED, ITERATE = MappingProxyType({"counts": "perturbed image"}), MappingProxyType({"counts": "last iterate"})
BOTH = MappingProxyType({"counts": "clean and perturbed image"})
WORST_CASE = "worst case"  # kind of a result combined from several attacks

REGISTRY: dict[str, RobustnessTest] = {
    "pgd": RobustnessTest("PGD", alone=True, joins=True),
    "autoattack": RobustnessTest("AutoAttack", alone=True, joins=True, usual=MappingProxyType({"version": "standard"})),
    "fgsm": RobustnessTest("FGSM", usual=PERTURBED),
    "n-fgsm": RobustnessTest("N-FGSM", usual=PERTURBED),
    "weak-pgd": RobustnessTest(
        "weak PGD", usual=ITERATE, meaning="ten steps of ε/10 from the clean image, judged by the last"
    ),
    "transfer": RobustnessTest("transferred PGD", usual=ITERATE, meaning="PGD's x′ made for another network"),
}


def weak_tests() -> str:
    """The tests that only show how robust a network can be made to look, for the help."""
    return "; ".join(f"{kind}, {test.meaning}" for kind, test in REGISTRY.items() if test.meaning)


def robustness_test(kind: str) -> RobustnessTest:
    """Return the registered test, or one by the attack of that name; AATError if there is no such attack.

    An attack that is not known to be weak joins the worst case, but never stands alone.
    """
    return REGISTRY[kind] if kind in REGISTRY else RobustnessTest(spec_of(kind).title, joins=True, usual=BOTH)
