from pybernetes.machinery import resources
from pybernetes.machinery.meta import Resource
from pybernetes.machinery.schema import schema_for


def test_every_builtin_has_one_constant_named_as_its_plural() -> None:
    constants = {name: value for name, value in vars(resources).items() if isinstance(value, Resource)}
    assert len(constants) == len(resources.BUILTIN)
    assert set(constants.values()) == set(resources.BUILTIN)
    marked = {"EVENTS_K8S_IO", "HORIZONTAL_POD_AUTOSCALERS_V1"}
    for name, resource in constants.items():
        if name not in marked:
            assert name.replace("_", "").lower() == resource.plural


def test_resources_are_found_by_what_stands_in_a_url() -> None:
    assert resources.find("apps", "v1", "deployments") is resources.DEPLOYMENTS
    assert resources.find("", "v1", "pods") is resources.PODS
    assert resources.find("", "v1", "deployments") is None


def test_subresources_say_what_they_read_and_write() -> None:
    scale = resources.SUBRESOURCES[resources.DEPLOYMENTS]["scale"]
    assert scale.gvk == ("autoscaling", "v1", "Scale")
    assert resources.SUBRESOURCES[resources.PODS]["status"].gvk == resources.PODS.gvk
    assert resources.SUBRESOURCES[resources.CONFIG_MAPS] == {}


def test_every_builtin_kind_has_a_schema() -> None:
    for resource in resources.BUILTIN:
        assert schema_for(resource.gvk).struct.fields["kind"]
    for below in resources.SUBRESOURCES.values():
        for subresource in below.values():
            if not subresource.gvk.kind.endswith("Options"):
                assert schema_for(subresource.gvk)
