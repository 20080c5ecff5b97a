"""The Pod Security Standards, with upstream's recorded sentences."""

import pytest

from pybernetes.apiserver.admission.pod_security_checks import violations
from pybernetes.machinery import errors
from pybernetes.machinery.resources import DEPLOYMENTS, NAMESPACES, PODS

PREFIX = "pod-security.kubernetes.io/"
UNRESTRICTED = (
    'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), {}'
    'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
POD_WIDE = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.fixture
def label(cluster, chain):
    def put(**labels):
        shown = {PREFIX + mode.replace("_", "-"): level for mode, level in labels.items()}
        cluster.put(NAMESPACES, {"metadata": {"name": "ns", "labels": shown}, "status": {"phase": "Active"}})

    return put


@pytest.mark.parametrize(
    ("container", "spec", "problem"),
    [
        ({}, {"hostNetwork": True}, "host namespaces (hostNetwork=true), " + UNRESTRICTED.format("")),
        ({"securityContext": {"privileged": True}}, {},
         'privileged (container "c" must not set securityContext.privileged=true), ' + UNRESTRICTED.format("")),
        ({}, {"volumes": [{"hostPath": {"path": "/x"}, "name": "a"}]},
         UNRESTRICTED.format('restricted volume types (volume "a" uses restricted volume type "hostPath"), ')),
        ({}, {}, UNRESTRICTED.format("")),
    ],
)  # fmt: skip
async def test_a_restricted_namespace_lists_all_that_a_pod_lacks(label, write, pod, container, spec, problem):
    label(enforce="restricted")
    with pytest.raises(errors.Forbidden) as refused:
        await write(PODS, pod(container, **spec))
    assert refused.value.message == f'pods "p" is forbidden: violates PodSecurity "restricted:latest": {problem}'


async def test_a_pod_that_gives_up_its_rights_is_let_in(label, write, pod):
    label(enforce="restricted")
    await write(PODS, pod({"securityContext": RESTRICTED}, securityContext=POD_WIDE))


async def test_warnings_are_given_for_pods_and_for_templates(label, write, pod):
    label(warn="restricted")
    expected = f'would violate PodSecurity "restricted:latest": {UNRESTRICTED.format("")}'
    assert (await write(PODS, pod())).warnings == [expected]
    deployment = {"metadata": {"name": "d", "namespace": "ns"}, "spec": {"template": pod()}}
    assert (await write(DEPLOYMENTS, deployment)).warnings == [expected]


async def test_a_template_in_an_enforcing_namespace_is_warned_of_and_let_in(label, write, pod):
    label(enforce="baseline")
    deployment = {"metadata": {"name": "d", "namespace": "ns"}, "spec": {"template": pod(hostPID=True)}}
    assert (await write(DEPLOYMENTS, deployment)).warnings == [
        'would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)'
    ]


async def test_labels_must_make_sense(write):
    namespace = {"metadata": {"name": "z", "labels": {PREFIX + "enforce": "bad", PREFIX + "warn-version": "v9.x"}}}
    with pytest.raises(errors.Invalid) as refused:
        await write(NAMESPACES, namespace)
    assert refused.value.message == (
        'Namespace "z" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "bad": '
        "must be one of privileged, baseline, restricted, "
        'metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "v9.x": must be "latest" or "v1.x"]'
    )


async def test_who_raises_the_level_hears_of_pods_that_are_there(write, pod, cluster):
    for name in ("one", "two"):
        cluster.put(PODS, pod(name=name, hostPID=True))
    old = cluster.get(NAMESPACES, "", "ns")
    raised = {**old, "metadata": {**old["metadata"], "labels": {PREFIX + "enforce": "baseline"}}}
    assert (await write(NAMESPACES, raised, old)).warnings == [
        'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"',
        "one (and 1 other pod): host namespaces",
    ]


async def test_a_pod_stays_editable_after_the_level_rose(label, write, pod):
    label(enforce="restricted")
    old = pod(priority=0, preemptionPolicy="Never")
    labelled = pod(metadata={"labels": {"a": "b"}}, priority=0, preemptionPolicy="Never")
    await write(PODS, labelled, old)
    with pytest.raises(errors.Forbidden, match="violates PodSecurity"):
        await write(PODS, pod({"image": "img:2"}, priority=0, preemptionPolicy="Never"), old)


def both(**context):
    return {"containers": [{"name": name, "securityContext": context} for name in ("a", "b")]}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (both(capabilities={"add": ["SYS_TIME", "CHOWN"]}),
         'non-default capabilities (containers "a", "b" must not include "SYS_TIME" in securityContext.capabilities.add)'),
        ({"containers": [{"name": "a", "ports": [{"hostPort": 1}, {"hostPort": 2}]}]},
         'hostPort (container "a" uses hostPorts 1, 2)'),
        ({"containers": [], "volumes": [{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": {}}]},
         'hostPath volumes (volumes "v", "w")'),
        (both(procMount="Unmasked"),
         'procMount (containers "a", "b" must not set securityContext.procMount to "Unmasked")'),
        (both(seccompProfile={"type": "Unconfined"}),
         'seccompProfile (containers "a", "b" must not set securityContext.seccompProfile.type to "Unconfined")'),
        ({"containers": [], "securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}, "forbidden sysctls (kernel.msgmax)"),
        ({"containers": [], "securityContext": {"windowsOptions": {"hostProcess": True}}},
         "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"),
        (both(seLinuxOptions={"type": "spc_t"}),
         'seLinuxOptions (containers "a", "b" set forbidden securityContext.seLinuxOptions: type "spc_t")'),
    ],
)  # fmt: skip
def test_the_baseline_refuses(spec, problem):
    assert violations({}, spec, "baseline") == [problem]


def test_the_privileged_level_refuses_nothing_and_the_baseline_nothing_harmless():
    assert violations({}, both(privileged=True), "privileged") == []
    assert violations({}, both(capabilities={"add": ["CHOWN"]}, runAsUser=0), "baseline") == []
