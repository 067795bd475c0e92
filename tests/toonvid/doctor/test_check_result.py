"""Results of checks as JSON."""

from __future__ import annotations

import json

from toonvid.doctor.check_result import CheckResult


def test_a_result_survives_a_round_trip_through_json_under_the_documented_keys() -> None:
    result = CheckResult("live", "camera", "broken", "no permission", "usermod", {"devices": []})
    values = result.to_json()
    assert (values["words"], values["mend"]) == ("no permission", "usermod")
    assert CheckResult.from_json(json.loads(json.dumps(values))) == result
