"""What the fork server of :mod:`children` loads: the project, once for all children. Imported nowhere else."""

import signal

import django
from django.apps import apps

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends with its worker, which may have children to wait for
if not apps.ready:
    django.setup()
