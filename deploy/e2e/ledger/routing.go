package main

import (
	"encoding/json"
	"strings"
)

// event is one event as the harness writes it. Its number is its place in the stream, from 0.
type event struct {
	name  string
	data  map[string]any // holds "n", the number
	rooms []string       // explicit ones; nil: by the table
}

// Kinds of events, by the first part of their name; workers report them by this letter's place in kindLetters.
const kindLetters = "soen"

func kindOf(name string) int { return strings.IndexByte(kindLetters, name[0]) }

// roomsOf is the event contract's routing table, written from the contract alone: the gateway's own is what is tested.
func roomsOf(e event) []string {
	if e.rooms != nil {
		return e.rooms
	}
	subject, _, _ := strings.Cut(e.name, "_")
	switch subject {
	case "solicitud":
		rooms := append(addressed(e.data, "solicitud_id", "client_id"), "admin")
		if e.name == "solicitud_created" {
			rooms = append(rooms, "advisor")
		}
		return rooms
	case "oferta", "evaluacion":
		return append(addressed(e.data, "solicitud_id", "advisor_id", "client_id"), "admin")
	case "notificacion":
		return notified(e.data)
	default:
		return nil
	}
}

func notified(data map[string]any) []string {
	if rooms := addressed(data, "user_id"); len(rooms) > 0 {
		return rooms
	}
	if role, ok := data["role"].(string); ok {
		return []string{roleRooms[strings.ToLower(role)]}
	}
	var rooms []string
	users, _ := data["user_ids"].([]any)
	for _, user := range users {
		rooms = append(rooms, "user_"+idText(user))
	}
	return rooms
}

// addressed gives the rooms that the named fields stand for, in their order, absent ones left out.
func addressed(data map[string]any, fields ...string) []string {
	var rooms []string
	for _, field := range fields {
		value, ok := data[field]
		if !ok {
			continue
		}
		prefix := "user_"
		if field == "solicitud_id" {
			prefix = "solicitud_"
		}
		rooms = append(rooms, prefix+idText(value))
	}
	return rooms
}

// idText is an id's text: ids are strings or whole numbers.
func idText(id any) string {
	if number, ok := id.(json.Number); ok {
		return number.String()
	}
	text, _ := id.(string)
	return text
}

// expected gives the numbers of the events that a socket in these rooms is sent, in order.
func expected(events []event, rooms map[string]bool) []int {
	var mine []int
	for n, e := range events {
		for _, room := range roomsOf(e) {
			if rooms[room] {
				mine = append(mine, n)
				break
			}
		}
	}
	return mine
}
