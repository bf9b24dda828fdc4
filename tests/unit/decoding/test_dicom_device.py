"""The key that tells X-ray devices apart: equal for one device, and no text of the header."""

from tests.unit.decoding.conftest import ramp

ONE = {"Manufacturer": "ACME Medical", "ManufacturerModelName": "Orbit 3", "DetectorID": "SN-0042"}


def test_frames_of_one_device_share_a_key_and_others_do_not(make_dicom, about):
    def key(**elements):
        return about(make_dicom(ramp(), **elements)).device

    one = key(**ONE)
    assert one == key(**ONE | {"Manufacturer": "Acme Medical "})
    others = {key(**ONE | {name: "other"}) for name in ONE}
    assert len(others | {one}) == 4
    assert key(Manufacturer="ACME", ManufacturerModelName="Orbit") != key(Manufacturer="ACME Orbit")


def test_the_key_holds_no_text_and_is_absent_without_any(make_dicom, about):
    one = about(make_dicom(ramp(), **ONE)).device
    assert len(one) == 16
    assert set(one) <= set("0123456789abcdef")
    assert about(make_dicom(ramp())).device is None
