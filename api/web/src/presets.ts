export interface Who {
  role: string;
  user: string;
  solicitud: string;
}

export interface Preset {
  event: string;
  hint: string;
  data: (who: Who) => Record<string, unknown>;
}

const idFor = (who: Who, role: string): string => (who.role === role && who.user !== "" ? who.user : `${role}-1`);

/** Example events of each family, about the solicitud and the person that the page is set to. */
export const presets: { family: string; presets: Preset[] }[] = [
  {
    family: "Solicitudes",
    presets: [
      {
        event: "solicitud_created",
        hint: "Reaches the solicitud's room, its client, every advisor and every admin. The client may then subscribe to it.",
        data: (who) => ({
          solicitud_id: who.solicitud,
          client_id: idFor(who, "client"),
          title: "Repair of a leaking roof",
          city: "Medellín",
          budget: 850000,
          currency: "COP",
        }),
      },
      {
        event: "solicitud_updated",
        hint: "Reaches the solicitud's room, its client and every admin.",
        data: (who) => ({ solicitud_id: who.solicitud, client_id: idFor(who, "client"), status: "in_review" }),
      },
    ],
  },
  {
    family: "Ofertas",
    presets: [
      {
        event: "oferta_submitted",
        hint: "Reaches the solicitud's room, the advisor, the client and every admin.",
        data: (who) => ({
          solicitud_id: who.solicitud,
          oferta_id: "of-501",
          advisor_id: idFor(who, "advisor"),
          client_id: idFor(who, "client"),
          amount: 790000,
          currency: "COP",
          delivery_days: 4,
        }),
      },
      {
        event: "oferta_accepted",
        hint: "Reaches the solicitud's room, the advisor, the client and every admin.",
        data: (who) => ({
          solicitud_id: who.solicitud,
          oferta_id: "of-501",
          advisor_id: idFor(who, "advisor"),
          client_id: idFor(who, "client"),
        }),
      },
    ],
  },
  {
    family: "Evaluaciones",
    presets: [
      {
        event: "evaluacion_created",
        hint: "Reaches the solicitud's room, the advisor, the client and every admin.",
        data: (who) => ({
          solicitud_id: who.solicitud,
          evaluacion_id: "ev-77",
          advisor_id: idFor(who, "advisor"),
          client_id: idFor(who, "client"),
          score: 5,
          comment: "Rápido y muy amable",
        }),
      },
    ],
  },
  {
    family: "Notificaciones",
    presets: [
      {
        event: "notificacion_created",
        hint: "Reaches one user, on every connection of theirs.",
        data: (who) => ({ user_id: who.user || "client-1", title: "You have a new oferta", solicitud_id: who.solicitud }),
      },
      {
        event: "notificacion_role",
        hint: "Reaches everybody of a role.",
        data: () => ({ role: "advisor", title: "Maintenance tonight at 23:00" }),
      },
      {
        event: "notificacion_users",
        hint: "Reaches each of the users named.",
        data: (who) => ({ user_ids: [idFor(who, "client"), idFor(who, "advisor")], title: "Your visit is confirmed for Friday" }),
      },
    ],
  },
];

export const eventName = /^(solicitud|oferta|evaluacion|notificacion)_[a-z0-9_]{1,64}$/;

export type Family = "solicitud" | "oferta" | "evaluacion" | "notificacion" | "system";

export function familyOf(event: string): Family {
  return (eventName.exec(event)?.[1] as Family | undefined) ?? "system";
}
