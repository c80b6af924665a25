"""Keystores for DDS security, made with openssl and laid out as `ros2 security` does it.

Its layout: sros2/keystore/_keystore.py and _enclave.py in github.com/ros2/sros2; how a policy becomes permissions:
sros2/policy/templates/dds/permissions.xsl there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

GOVERNANCE = """<dds><domain_access_rules><domain_rule>
<domains><id>{domain}</id></domains>
<allow_unauthenticated_participants>false</allow_unauthenticated_participants>
<enable_join_access_control>true</enable_join_access_control>
<discovery_protection_kind>ENCRYPT</discovery_protection_kind>
<liveliness_protection_kind>ENCRYPT</liveliness_protection_kind>
<rtps_protection_kind>ENCRYPT</rtps_protection_kind>
<topic_access_rules><topic_rule>
<topic_expression>*</topic_expression>
<enable_discovery_protection>true</enable_discovery_protection>
<enable_liveliness_protection>true</enable_liveliness_protection>
<enable_read_access_control>true</enable_read_access_control>
<enable_write_access_control>true</enable_write_access_control>
<metadata_protection_kind>ENCRYPT</metadata_protection_kind>
<data_protection_kind>ENCRYPT</data_protection_kind>
</topic_rule></topic_access_rules>
</domain_rule></domain_access_rules></dds>
"""
PERMISSIONS = """<dds><permissions><grant name="{name}">
<subject_name>CN={name}</subject_name>
<validity><not_before>2020-01-01T00:00:00</not_before><not_after>2100-01-01T00:00:00</not_after></validity>
<allow_rule><domains><id>{domain}</id></domains>
<publish><topics>{publish}</topics></publish>
<subscribe><topics>{subscribe}</topics></subscribe>
</allow_rule><default>DENY</default></grant></permissions></dds>
"""
DISCOVERY = "ros_discovery_info"
"""The topic on which the RMWs tell each other about nodes; sros2 adds it as well."""

Rules = Mapping[str, Sequence[str]]
"""Full names of what may be done, by `publish`, `subscribe`, `reply`, `request`."""


def read_policy(path: Path) -> dict[str, Rules]:
    """Return what each enclave of a policy may do."""
    enclaves = ElementTree.parse(path).iter("enclave")  # noqa: S314 - our own file
    return {enclave.attrib["path"]: _rules(enclave) for enclave in enclaves}


def _rules(enclave: ElementTree.Element) -> Rules:
    rules: dict[str, list[str]] = {"publish": [], "subscribe": [], "reply": [], "request": []}
    for profile in enclave.iter("profile"):
        for group in profile:
            for verb, rule in group.attrib.items():
                assert rule == "ALLOW", "what is not allowed is denied"
                rules[verb] += [_full_name(profile, item.text) for item in group]
    return rules


def _full_name(profile: ElementTree.Element, name: str) -> str:
    space = profile.attrib["ns"].rstrip("/")
    return name if name.startswith("/") else f"{space}/{name}".replace("/~/", f"/{profile.attrib['node']}/")


class Keystore:
    """A certificate authority and its enclaves, in a folder.

    Args:
        folder: Where it is made.
        domain: The only ROS domain it is for.
    """

    def __init__(self, folder: Path, domain: int) -> None:
        self.folder = folder
        self._domain = domain
        folder.mkdir()
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._new_key = ["req", *curve, "-sha256"]
        self._key, self._certificate = folder / "ca.key.pem", folder / "ca.cert.pem"
        output = ["-keyout", self._key, "-out", self._certificate]
        _openssl(*self._new_key, "-x509", "-subj", "/CN=testCA", *output)

    def environment(self) -> dict[str, str]:
        """Return what makes a process use it, or not run at all."""
        switches = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}
        return {**switches, "ROS_SECURITY_KEYSTORE": str(self.folder)}

    def add_enclave(self, name: str, rules: Rules) -> None:
        """Give an enclave a key, and let it do what the rules say."""
        folder = self.folder / "enclaves" / name.lstrip("/")
        folder.mkdir(parents=True)
        subject, request = "/CN=" + name.replace("/", "\\/"), folder / "request.pem"
        _openssl(*self._new_key, "-subj", subject, "-keyout", folder / "key.pem", "-out", request)
        authority = ["-CA", self._certificate, "-CAkey", self._key, "-CAcreateserial"]
        _openssl("x509", "-req", "-in", request, *authority, "-days", "30", "-out", folder / "cert.pem")
        for copy in ("identity_ca.cert.pem", "permissions_ca.cert.pem"):
            (folder / copy).write_bytes(self._certificate.read_bytes())
        topics = {verb: "".join(f"<topic>{topic}</topic>" for topic in _topics(rules, verb)) for verb in VERBS}
        self._sign(folder / "governance", GOVERNANCE.format(domain=self._domain))
        self._sign(folder / "permissions", PERMISSIONS.format(name=name, domain=self._domain, **topics))

    def _sign(self, path: Path, text: str) -> None:
        path.with_suffix(".xml").write_text(text)
        signer = ["-signer", self._certificate, "-inkey", self._key]
        _openssl("smime", "-sign", "-text", "-in", path.with_suffix(".xml"), *signer, "-out", f"{path}.p7s")


REPLY, REQUEST = ("rr", "Reply"), ("rq", "Request")
VERBS = {"publish": (REPLY, REQUEST), "subscribe": (REQUEST, REPLY)}
"""The prefix and suffix of what a service and a client publish, and subscribe to."""


def _topics(rules: Rules, verb: str) -> Iterator[str]:
    """Yield the DDS topics that ROS makes of what may be published, or subscribed to."""
    yield DISCOVERY
    yield from (f"rt{name}" for name in rules[verb])
    for role, (prefix, suffix) in zip(("reply", "request"), VERBS[verb], strict=True):
        yield from (f"{prefix}{name}{suffix}" for name in rules[role])


def _openssl(*arguments: object) -> None:
    command = ["openssl", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)
