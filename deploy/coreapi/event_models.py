"""Pydantic 2 models of the gateway's events. Made by make_models.py of events.schema.json; do not edit."""

from typing import Annotated, List, Optional, Union

from pydantic import BaseModel, Field


class Event(BaseModel, extra="forbid"):
    """The data of an event. A field that its schema does not name is refused, as a misspelt one would be: declare it in a subclass."""


Id = Union[Annotated[str, Field(strict=True, min_length=1, max_length=128)], Annotated[int, Field(strict=True)]]

OptionalId = Union[Id, None]


class EvaluacionCreated(Event):
    """A client has judged an advisor."""

    solicitud_id: Id = Field(..., description="The solicitud whose room gets the event.")
    stars: Annotated[int, Field(strict=True, ge=1, le=5)] = Field(..., description="1 is worst.")
    advisor_id: Optional[OptionalId] = Field(None, description="The advisor concerned; gets the event.")
    client_id: Optional[OptionalId] = Field(None, description="Who asked; gets the event.")
    comment: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="What the client says.")


class NotificacionAviso(Event):
    """A message for a user, some users, or a role."""

    text: Annotated[str, Field(strict=True)] = Field(..., description="The message.")
    user_id: Optional[OptionalId] = Field(None, description="The one who gets it; before role and user_ids.")
    role: Optional[Union[Annotated[str, Field(strict=True)], None]] = Field(None, description="All users of a role get it, where user_id is not given.")
    user_ids: Optional[Union[Annotated[List[Id], Field(max_length=1000)], None]] = Field(None, description="Those who get it, where neither user_id nor role is given.")
    title: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="A few words.")


class NotificacionRead(Event):
    """A user has read notificaciones; for the user's other tabs."""

    notificacion_ids: Annotated[List[Id], Field(max_length=1000)] = Field(..., description="Which.")
    user_id: Optional[OptionalId] = Field(None, description="The one who gets it; before role and user_ids.")
    role: Optional[Union[Annotated[str, Field(strict=True)], None]] = Field(None, description="All users of a role get it, where user_id is not given.")
    user_ids: Optional[Union[Annotated[List[Id], Field(max_length=1000)], None]] = Field(None, description="Those who get it, where neither user_id nor role is given.")


class OfertaAccepted(Event):
    """The client has taken an offer."""

    solicitud_id: Id = Field(..., description="The solicitud whose room gets the event.")
    advisor_id: Id = Field(..., description="The advisor who offers; gets the event, and may subscribe to the solicitud.")
    oferta_id: Optional[OptionalId] = Field(None, description="The offer.")
    client_id: Optional[OptionalId] = Field(None, description="Who asked; gets the event, and may subscribe to the solicitud.")
    price: Optional[Union[Annotated[int, Field(strict=True, ge=0)], Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]]] = Field(None, description="In units of the currency.")


class OfertaRejected(Event):
    """The client has not taken an offer."""

    solicitud_id: Id = Field(..., description="The solicitud whose room gets the event.")
    advisor_id: Id = Field(..., description="The advisor who offers; gets the event, and may subscribe to the solicitud.")
    oferta_id: Optional[OptionalId] = Field(None, description="The offer.")
    client_id: Optional[OptionalId] = Field(None, description="Who asked; gets the event, and may subscribe to the solicitud.")
    reason: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="Why.")


class OfertaSubmitted(Event):
    """An advisor offers."""

    solicitud_id: Id = Field(..., description="The solicitud whose room gets the event.")
    advisor_id: Id = Field(..., description="The advisor who offers; gets the event, and may subscribe to the solicitud.")
    price: Union[Annotated[int, Field(strict=True, ge=0)], Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]] = Field(..., description="In units of the currency.")
    oferta_id: Optional[OptionalId] = Field(None, description="The offer.")
    client_id: Optional[OptionalId] = Field(None, description="Who asked; gets the event, and may subscribe to the solicitud.")
    currency: Optional[Annotated[str, Field(strict=True, min_length=3, max_length=3)]] = Field(None, description="ISO 4217.")
    delivery_days: Optional[Annotated[int, Field(strict=True, ge=0)]] = Field(None, description="How long it takes, in days.")


class SolicitudClosed(Event):
    """A solicitud takes no more offers."""

    solicitud_id: Id = Field(..., description="The solicitud whose room gets the event.")
    client_id: Optional[OptionalId] = Field(None, description="Who asked; gets the event, and may subscribe to the solicitud.")
    advisor_id: Optional[OptionalId] = Field(None, description="An advisor concerned; may subscribe to the solicitud.")
    reason: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="Why.")


class SolicitudCreated(Event):
    """A client asks for a part; every advisor is told."""

    solicitud_id: Id = Field(..., description="The solicitud whose room gets the event.")
    client_id: Optional[OptionalId] = Field(None, description="Who asked; gets the event, and may subscribe to the solicitud.")
    advisor_id: Optional[OptionalId] = Field(None, description="An advisor concerned; may subscribe to the solicitud.")
    part: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="What is asked for.")
    vehicle: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="For which vehicle.")
    city: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="Where.")


class SolicitudUpdated(Event):
    """A solicitud has changed. What it says of itself is what changed."""

    solicitud_id: Id = Field(..., description="The solicitud whose room gets the event.")
    client_id: Optional[OptionalId] = Field(None, description="Who asked; gets the event, and may subscribe to the solicitud.")
    advisor_id: Optional[OptionalId] = Field(None, description="An advisor concerned; may subscribe to the solicitud.")
    part: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="What is asked for.")
    vehicle: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="For which vehicle.")
    city: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="Where.")
    status: Optional[Annotated[str, Field(strict=True)]] = Field(None, description="The state that it is in now.")


class EvaluacionEvent(Event, extra="allow"):
    """Any evaluacion_* event: what routing needs of it."""

    solicitud_id: Id = Field(..., description="The solicitud whose room gets the event.")
    advisor_id: Optional[OptionalId] = Field(None, description="The advisor concerned; gets the event.")
    client_id: Optional[OptionalId] = Field(None, description="Who asked; gets the event.")


class NotificacionEvent(Event, extra="allow"):
    """Any notificacion_* event: who gets it. One of the three is needed, or the entry's own rooms."""

    user_id: Optional[OptionalId] = Field(None, description="The one who gets it; before role and user_ids.")
    role: Optional[Union[Annotated[str, Field(strict=True)], None]] = Field(None, description="All users of a role get it, where user_id is not given.")
    user_ids: Optional[Union[Annotated[List[Id], Field(max_length=1000)], None]] = Field(None, description="Those who get it, where neither user_id nor role is given.")


class OfertaEvent(Event, extra="allow"):
    """Any oferta_* event: what routing needs of it."""

    solicitud_id: Id = Field(..., description="The solicitud whose room gets the event.")
    advisor_id: Optional[OptionalId] = Field(None, description="The advisor concerned; gets the event, and may subscribe to the solicitud.")
    client_id: Optional[OptionalId] = Field(None, description="Who asked; gets the event, and may subscribe to the solicitud.")


class SolicitudEvent(Event, extra="allow"):
    """Any solicitud_* event: what routing needs of it."""

    solicitud_id: Id = Field(..., description="The solicitud whose room gets the event.")
    client_id: Optional[OptionalId] = Field(None, description="Who asked; gets the event, and may subscribe to the solicitud.")
    advisor_id: Optional[OptionalId] = Field(None, description="An advisor concerned; may subscribe to the solicitud.")


EVENTS = {
    "evaluacion_created": EvaluacionCreated,
    "notificacion_aviso": NotificacionAviso,
    "notificacion_read": NotificacionRead,
    "oferta_accepted": OfertaAccepted,
    "oferta_rejected": OfertaRejected,
    "oferta_submitted": OfertaSubmitted,
    "solicitud_closed": SolicitudClosed,
    "solicitud_created": SolicitudCreated,
    "solicitud_updated": SolicitudUpdated,
}
