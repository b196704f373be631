"""What gateway_events.py refuses before it is written, and what it writes: python3 test_gateway_events.py"""

import decimal
import unittest
from datetime import datetime, timedelta, timezone
from unittest import mock

from gateway_events import GatewayEvents, Refused


class TestRefused(unittest.TestCase):
    def setUp(self):
        self.client = mock.MagicMock()
        self.gateway = GatewayEvents(self.client)

    def test_data_that_json_cannot_hold(self):
        for value in (float("nan"), float("inf"), decimal.Decimal("1.5"), {1, 2}, b"bytes", "\ud800", object()):
            with self.assertRaises(Refused, msg=repr(value)):
                self.gateway.publish("oferta_submitted", {"solicitud_id": "S", "value": value})
        loop = {}
        loop["loop"] = loop
        with self.assertRaises(Refused):
            self.gateway.publish("oferta_submitted", loop)
        self.client.xadd.assert_not_called()

    def test_rooms_that_are_no_list_of_names(self):
        for rooms in ("", [], [""], ["admin", 7], ["admin", None]):
            with self.assertRaises(Refused, msg=repr(rooms)):
                self.gateway.publish("oferta_submitted", {"solicitud_id": "S"}, rooms=rooms)
        self.client.xadd.assert_not_called()
        # A string is a list of its letters to Python, and would go to the rooms a, d, m, i and n.
        for rooms in ("admin", ("admin",), ["admin"]):
            self.gateway.publish("oferta_submitted", {"solicitud_id": "S"}, rooms=rooms)
            self.assertEqual(self.client.xadd.call_args.args[1]["rooms"], '["admin"]')

    def test_an_event_that_is_no_name(self):
        for event in ("pedido_created", "oferta_", "oferta_Submitted", "oferta_x\n", "", None, 7):
            with self.assertRaises(Refused, msg=repr(event)):
                self.gateway.publish(event, {"solicitud_id": "S"})

    def test_a_time_of_a_zone_with_seconds_is_written_as_one_that_the_gateway_reads(self):
        lmt = timezone(timedelta(hours=-4, minutes=-56, seconds=-16))  # Bogotá's before 1914, which pytz gives to the careless
        self.gateway.publish("oferta_submitted", {"solicitud_id": "S"}, occurred_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=lmt))
        self.assertEqual(self.client.xadd.call_args.args[1]["occurred_at"], "2026-01-02T08:00:21+00:00")


if __name__ == "__main__":
    unittest.main()
