"""beartype as the tests use it: an int passes where a float is asked for, as Python itself has it (PEP 484)."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
