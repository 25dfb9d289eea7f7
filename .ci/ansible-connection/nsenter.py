"""Ansible connection into a booted container of this machine: commands by nsenter, files through its root folder.

For tests only. It does not become another user (the play runs as root in the container), and does not start a container.
"""

import os
import shutil
import subprocess

from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: nsenter
short_description: Into a container by the process id of its init
description: Commands by nsenter, files through the root folder of the init process.
author: The wellhead authors
options:
  init_pid:
    description: Process id of the container's init, as seen from here.
    vars:
      - name: nsenter_init_pid
"""


class Connection(ConnectionBase):
    """One container. The root folder is reached through /proc, so mounts of the container are seen."""

    transport = "nsenter"
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def _init_pid(self):
        return str(self.get_option("init_pid"))

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        enter = ["nsenter", "--target", self._init_pid(), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"]
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        done = subprocess.run(enter + ["/bin/sh", "-c", cmd], input=in_data or b"", capture_output=True, env=environment, check=False)
        return done.returncode, done.stdout, done.stderr

    def _inside(self, path):
        return f"/proc/{self._init_pid()}/root/" + path.lstrip("/")

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        self._copy(in_path, self._inside(out_path))

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        self._copy(self._inside(in_path), out_path)

    def _copy(self, source, target):
        if not os.path.exists(source):
            raise AnsibleError(f"there is no file {source}")
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise AnsibleError(f"cannot copy {source} to {target}: {error}") from error

    def close(self):
        self._connected = False
