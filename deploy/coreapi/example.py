"""What the Core API does with the gateway, step by step: python3 example.py redis://localhost:6379

Needs a gateway, such as that of `make run`, only for somebody to see the events.
"""

import sys
import time

import redis

from gateway_events import GatewayEvents, Refused, new_traceparent


def main(url):
    with redis.Redis.from_url(url) as client:
        gateway = GatewayEvents(client)
        trace = new_traceparent()

        # Whom an event names may subscribe to the solicitud's room from then on.
        gateway.publish("solicitud_created", {"solicitud_id": "S-1042", "client_id": "C-3", "part": "Balatas"}, traceparent=trace)

        # An id of the Core API's own: publishing it twice relays it once.
        oferta = {"solicitud_id": "S-1042", "advisor_id": "A-9", "client_id": "C-3", "price": 2**60}
        for _ in range(2):
            gateway.publish("oferta_submitted", oferta, event_id="oferta-77-submitted", traceparent=trace)

        gateway.publish("notificacion_aviso", {"user_ids": ["A-9", "C-3"], "text": "¡Nueva oferta!"})
        gateway.publish("solicitud_audited", {"solicitud_id": "S-1042"}, rooms=["admin"])

        try:
            gateway.publish("pedido_created", {})
        except Refused as err:
            print("refused:", err)

        gateway.grant("S-1042", "A-12", ttl=3600)
        gateway.withdraw("S-1042", "A-12")

        gateway.revoke_token("7f3a", expires_at=time.time() + 3600)
        gateway.revoke_user("C-99")
        print("done")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "redis://localhost:6379")
