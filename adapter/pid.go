package adapter

import (
	"reflect"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

// The library tells a socket's private session id only when the socket has gone, and its session has to be written
// before. So the field is read by reflection; New fails if a version of the library has no such field.

var pidField, hasPid = reflect.TypeFor[socket.Socket]().FieldByName("pid")

func pidReadable() bool { return hasPid && pidField.Type.Kind() == reflect.String }

// pidOf returns the private session id of a socket, "" if recovery is off.
func pidOf(s *socket.Socket) string {
	return reflect.ValueOf(s).Elem().FieldByIndex(pidField.Index).String()
}
