"""What is installed here, which weights are here, on what networks run, and which commands can.

Nothing of it may fail: whatever is missing or broken is what is to be told.
"""

from castsearch.doctor.commands import QUICKSTART, Command, commands
from castsearch.doctor.machine import Machine, look_at_machine
from castsearch.doctor.packages import CHECKOUT, Extension, Package, look_at_packages
from castsearch.doctor.weights import Weights, look_for_weights

__all__ = [
    "CHECKOUT",
    "QUICKSTART",
    "Command",
    "Extension",
    "Machine",
    "Package",
    "Weights",
    "commands",
    "look_at_machine",
    "look_at_packages",
    "look_for_weights",
]
