// Made by generate.mjs of the JSON Schemas in node/schemas. Do not edit: run `npm run generate`.

/**
 * An id: 1 to 128 bytes without control characters, or an integer of any size. JavaScript keeps integers above 2^53 exactly only as strings.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "id".
 */
export type Id = string | number;
/**
 * The gateway's roles.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "role".
 */
export type Role = 'admin' | 'advisor' | 'client';
/**
 * Names of rooms: a role, user_ID or solicitud_ID.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "rooms".
 */
export type Rooms = string[];
/**
 * What went wrong, for programs.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "error_code".
 */
export type ErrorCode =
  | 'bad_request'
  | 'forbidden'
  | 'too_many_rooms'
  | 'unavailable'
  | 'rate_limited'
  | 'event_flood'
  | 'internal'
  | 'token_missing'
  | 'token_invalid'
  | 'token_expired'
  | 'token_revoked'
  | 'role_unknown';
/**
 * The position of a quiet client in the log; Socket.IO's client takes note of it by itself.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "server_sync".
 */
export type Sync = string;
/**
 * Asks for pong; it takes no data.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "client_ping".
 */
export type Ping = null;
/**
 * The ack of refresh_token.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "refresh_answer".
 */
export type RefreshAnswer = RefreshDone | RequestRefused;
/**
 * The ack of subscribe_solicitud and unsubscribe_solicitud.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "subscription_answer".
 */
export type SubscriptionAnswer = SubscriptionDone | RequestRefused;
/**
 * Why a connect was refused.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "refusal_code".
 */
export type RefusalCode =
  | 'token_missing'
  | 'token_invalid'
  | 'token_expired'
  | 'token_revoked'
  | 'role_unknown'
  | 'server_full'
  | 'rate_limited';
/**
 * An id, or null for none.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "optional_id".
 */
export type OptionalId = Id | null;

/**
 * All that passes between clients and the gateway.
 */
export interface Contract {
  events: DomainEvents;
  families: Families;
  server: GatewayEvents;
  requests: Requests;
  answers: Answers;
  refusal: Refusal;
}
/**
 * The Core API's events and their data. Declare others here, by merging.
 */
export interface DomainEvents {
  evaluacion_created: EvaluacionCreated;
  notificacion_aviso: NotificacionAviso;
  notificacion_read: NotificacionRead;
  oferta_accepted: OfertaAccepted;
  oferta_rejected: OfertaRejected;
  oferta_submitted: OfertaSubmitted;
  solicitud_closed: SolicitudClosed;
  solicitud_created: SolicitudCreated;
  solicitud_updated: SolicitudUpdated;
}
/**
 * A client has judged an advisor.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "events_evaluacion_created".
 */
export interface EvaluacionCreated {
  /**
   * The solicitud whose room gets the event.
   */
  solicitud_id: Id;
  /**
   * The advisor concerned; gets the event.
   */
  advisor_id?: OptionalId;
  /**
   * Who asked; gets the event.
   */
  client_id?: OptionalId;
  /**
   * 1 is worst.
   */
  stars: number;
  /**
   * What the client says.
   */
  comment?: string;
}
/**
 * A message for a user, some users, or a role.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "events_notificacion_aviso".
 */
export interface NotificacionAviso {
  /**
   * The one who gets it; before role and user_ids.
   */
  user_id?: OptionalId;
  /**
   * All users of a role get it, where user_id is not given.
   */
  role?: string | null;
  /**
   * Those who get it, where neither user_id nor role is given.
   */
  user_ids?: Id[] | null;
  /**
   * A few words.
   */
  title?: string;
  /**
   * The message.
   */
  text: string;
}
/**
 * A user has read notificaciones; for the user's other tabs.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "events_notificacion_read".
 */
export interface NotificacionRead {
  /**
   * The one who gets it; before role and user_ids.
   */
  user_id?: OptionalId;
  /**
   * All users of a role get it, where user_id is not given.
   */
  role?: string | null;
  /**
   * Those who get it, where neither user_id nor role is given.
   */
  user_ids?: Id[] | null;
  /**
   * Which.
   */
  notificacion_ids: Id[];
}
/**
 * The client has taken an offer.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "events_oferta_accepted".
 */
export interface OfertaAccepted {
  /**
   * The solicitud whose room gets the event.
   */
  solicitud_id: Id;
  /**
   * The offer.
   */
  oferta_id?: OptionalId;
  /**
   * The advisor who offers; gets the event, and may subscribe to the solicitud.
   */
  advisor_id: Id;
  /**
   * Who asked; gets the event, and may subscribe to the solicitud.
   */
  client_id?: OptionalId;
  /**
   * In units of the currency.
   */
  price?: number;
}
/**
 * The client has not taken an offer.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "events_oferta_rejected".
 */
export interface OfertaRejected {
  /**
   * The solicitud whose room gets the event.
   */
  solicitud_id: Id;
  /**
   * The offer.
   */
  oferta_id?: OptionalId;
  /**
   * The advisor who offers; gets the event, and may subscribe to the solicitud.
   */
  advisor_id: Id;
  /**
   * Who asked; gets the event, and may subscribe to the solicitud.
   */
  client_id?: OptionalId;
  /**
   * Why.
   */
  reason?: string;
}
/**
 * An advisor offers.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "events_oferta_submitted".
 */
export interface OfertaSubmitted {
  /**
   * The solicitud whose room gets the event.
   */
  solicitud_id: Id;
  /**
   * The offer.
   */
  oferta_id?: OptionalId;
  /**
   * The advisor who offers; gets the event, and may subscribe to the solicitud.
   */
  advisor_id: Id;
  /**
   * Who asked; gets the event, and may subscribe to the solicitud.
   */
  client_id?: OptionalId;
  /**
   * In units of the currency.
   */
  price: number;
  /**
   * ISO 4217.
   */
  currency?: string;
  /**
   * How long it takes, in days.
   */
  delivery_days?: number;
}
/**
 * A solicitud takes no more offers.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "events_solicitud_closed".
 */
export interface SolicitudClosed {
  /**
   * The solicitud whose room gets the event.
   */
  solicitud_id: Id;
  /**
   * Who asked; gets the event, and may subscribe to the solicitud.
   */
  client_id?: OptionalId;
  /**
   * An advisor concerned; may subscribe to the solicitud.
   */
  advisor_id?: OptionalId;
  /**
   * Why.
   */
  reason?: string;
}
/**
 * A client asks for a part; every advisor is told.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "events_solicitud_created".
 */
export interface SolicitudCreated {
  /**
   * The solicitud whose room gets the event.
   */
  solicitud_id: Id;
  /**
   * Who asked; gets the event, and may subscribe to the solicitud.
   */
  client_id?: OptionalId;
  /**
   * An advisor concerned; may subscribe to the solicitud.
   */
  advisor_id?: OptionalId;
  /**
   * What is asked for.
   */
  part?: string;
  /**
   * For which vehicle.
   */
  vehicle?: string;
  /**
   * Where.
   */
  city?: string;
}
/**
 * A solicitud has changed. What it says of itself is what changed.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "events_solicitud_updated".
 */
export interface SolicitudUpdated {
  /**
   * The solicitud whose room gets the event.
   */
  solicitud_id: Id;
  /**
   * Who asked; gets the event, and may subscribe to the solicitud.
   */
  client_id?: OptionalId;
  /**
   * An advisor concerned; may subscribe to the solicitud.
   */
  advisor_id?: OptionalId;
  /**
   * What is asked for.
   */
  part?: string;
  /**
   * For which vehicle.
   */
  vehicle?: string;
  /**
   * Where.
   */
  city?: string;
  /**
   * The state that it is in now.
   */
  status?: string;
}
/**
 * What any event of a kind has.
 */
export interface Families {
  evaluacion: EvaluacionEvent;
  notificacion: NotificacionEvent;
  oferta: OfertaEvent;
  solicitud: SolicitudEvent;
}
/**
 * Any evaluacion_* event: what routing needs of it.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "families_evaluacion".
 */
export interface EvaluacionEvent {
  /**
   * The solicitud whose room gets the event.
   */
  solicitud_id: Id;
  /**
   * The advisor concerned; gets the event.
   */
  advisor_id?: OptionalId;
  /**
   * Who asked; gets the event.
   */
  client_id?: OptionalId;
}
/**
 * Any notificacion_* event: who gets it. One of the three is needed, or the entry's own rooms.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "families_notificacion".
 */
export interface NotificacionEvent {
  /**
   * The one who gets it; before role and user_ids.
   */
  user_id?: OptionalId;
  /**
   * All users of a role get it, where user_id is not given.
   */
  role?: string | null;
  /**
   * Those who get it, where neither user_id nor role is given.
   */
  user_ids?: Id[] | null;
}
/**
 * Any oferta_* event: what routing needs of it.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "families_oferta".
 */
export interface OfertaEvent {
  /**
   * The solicitud whose room gets the event.
   */
  solicitud_id: Id;
  /**
   * The advisor concerned; gets the event, and may subscribe to the solicitud.
   */
  advisor_id?: OptionalId;
  /**
   * Who asked; gets the event, and may subscribe to the solicitud.
   */
  client_id?: OptionalId;
}
/**
 * Any solicitud_* event: what routing needs of it.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "families_solicitud".
 */
export interface SolicitudEvent {
  /**
   * The solicitud whose room gets the event.
   */
  solicitud_id: Id;
  /**
   * Who asked; gets the event, and may subscribe to the solicitud.
   */
  client_id?: OptionalId;
  /**
   * An advisor concerned; may subscribe to the solicitud.
   */
  advisor_id?: OptionalId;
}
/**
 * The gateway's own events.
 */
export interface GatewayEvents {
  connected: Connected;
  error: ErrorEvent;
  pong: Pong;
  sync: Sync;
  token_expired: TokenExpired;
  token_expiring: TokenExpiring;
  unsubscribed: Unsubscribed;
  user_joined: UserJoined;
  user_left: UserLeft;
}
/**
 * First event of every connection.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "server_connected".
 */
export interface Connected {
  /**
   * By the token.
   */
  user_id: string;
  role: Role;
  rooms: Rooms;
  /**
   * The node's name.
   */
  node: string;
  /**
   * True: what was missed follows. False: this is a fresh session, and state has to be loaded.
   */
  recovered: boolean;
}
/**
 * A request without an ack failed, or the connection is about to be closed for good (token_revoked, event_flood).
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "server_error".
 */
export interface ErrorEvent {
  code: ErrorCode;
  /**
   * For people who debug; it may change.
   */
  message: string;
}
/**
 * The answer to ping.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "server_pong".
 */
export interface Pong {
  /**
   * RFC 3339, in UTC, with milliseconds.
   */
  timestamp: string;
}
/**
 * The token has expired, and the connection is closed.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "server_token_expired".
 */
export interface TokenExpired {
  code: ErrorCode;
  /**
   * For people who debug; it may change.
   */
  message: string;
}
/**
 * The token expires within a minute; refresh_token renews it in place.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "server_token_expiring".
 */
export interface TokenExpiring {
  /**
   * Its exp, in unix milliseconds.
   */
  expires_at: number;
}
/**
 * The socket was taken out of a solicitud's room.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "server_unsubscribed".
 */
export interface Unsubscribed {
  /**
   * The room.
   */
  room: string;
  /**
   * Why.
   */
  code: 'grant_withdrawn' | 'forbidden';
  /**
   * For people who debug; it may change.
   */
  message: string;
}
/**
 * Another user came into a solicitud's room that the socket is in.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "server_user_joined".
 */
export interface UserJoined {
  /**
   * Who.
   */
  user_id: string;
  role: Role;
  /**
   * The solicitud's room.
   */
  room: string;
}
/**
 * Another user left it, with all tabs.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "server_user_left".
 */
export interface UserLeft {
  /**
   * Who.
   */
  user_id: string;
  role: Role;
  /**
   * The solicitud's room.
   */
  room: string;
}
/**
 * What clients ask for.
 */
export interface Requests {
  ping: Ping;
  refresh_token: RefreshToken;
  subscribe_solicitud: SubscribeSolicitud;
  unsubscribe_solicitud: UnsubscribeSolicitud;
}
/**
 * Puts another token of the same user in the place of the present one.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "client_refresh_token".
 */
export interface RefreshToken {
  /**
   * The new token.
   */
  token: string;
}
/**
 * Asks to be let into a solicitud's room.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "client_subscribe_solicitud".
 */
export interface SubscribeSolicitud {
  solicitud_id: Id;
}
/**
 * Leaves a solicitud's room.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "client_unsubscribe_solicitud".
 */
export interface UnsubscribeSolicitud {
  solicitud_id: Id;
}
/**
 * The ack of each request.
 */
export interface Answers {
  ping: PongAnswer;
  refresh_token: RefreshAnswer;
  subscribe_solicitud: SubscriptionAnswer;
  unsubscribe_solicitud: SubscriptionAnswer;
}
/**
 * The gateway's time.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "pong_answer".
 */
export interface PongAnswer {
  /**
   * RFC 3339, in UTC, with milliseconds.
   */
  timestamp: string;
}
/**
 * The connection goes on with the new token.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "refresh_done".
 */
export interface RefreshDone {
  ok: true;
  /**
   * The token's exp, in unix milliseconds.
   */
  expires_at: number;
  role: Role;
  rooms: Rooms;
}
/**
 * The request was not done.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "refused".
 */
export interface RequestRefused {
  ok: false;
  error: GatewayError;
}
/**
 * A fault, as clients are told of it.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "error".
 */
export interface GatewayError {
  code: ErrorCode;
  /**
   * For people who debug; it may change.
   */
  message: string;
}
/**
 * The socket is, or is no longer, in the room, and so is its session.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "subscription_done".
 */
export interface SubscriptionDone {
  ok: true;
  room: string;
}
/**
 * The data of a connect_error.
 *
 * This interface was referenced by `Contract`'s JSON-Schema
 * via the `definition` "refusal".
 */
export interface Refusal {
  code: RefusalCode;
}
