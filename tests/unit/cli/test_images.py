import io
import json
import tarfile

from pybernetes.cli import images


def members(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def test_the_same_busybox_gives_the_same_archive():
    assert images.archive(images.IMAGES, b"busybox") == images.archive(images.IMAGES, b"busybox")
    assert images.archive(images.IMAGES, b"busybox") != images.archive(images.IMAGES, b"other")


def test_every_image_is_named_in_the_index_and_leads_to_its_layer():
    files = members(images.archive(images.IMAGES, b"busybox"))
    manifests = json.loads(files["index.json"])["manifests"]
    assert [each["annotations"]["io.containerd.image.name"] for each in manifests] == [each.name for each in images.IMAGES]
    for entry in manifests:
        manifest = json.loads(files["blobs/" + entry["digest"].replace(":", "/")])
        assert len(files["blobs/" + entry["digest"].replace(":", "/")]) == entry["size"]
        for layer in manifest["layers"]:
            assert "blobs/" + layer["digest"].replace(":", "/") in files
