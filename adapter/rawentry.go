package adapter

import "github.com/redis/go-redis/v9"

// rawEntry is an entry of the log as Redis has it.
type rawEntry struct {
	id                         streamID
	uid, nsp, kind, data, from string
	sourced                    bool // it has a field for the source, which is from
	fields                     int
}

func (e *rawEntry) set(field, value string) {
	e.fields++
	switch field {
	case fieldUID:
		e.uid = value
	case fieldNsp:
		e.nsp = value
	case fieldType:
		e.kind = value
	case fieldData:
		e.data = value
	case fieldSrc:
		e.from, e.sourced = value, true
	}
}

// rawEntryOf converts what the client has decoded.
func rawEntryOf(m redis.XMessage) (rawEntry, error) {
	id, err := parseStreamID(m.ID)
	if err != nil {
		return rawEntry{}, err
	}
	e := rawEntry{id: id}
	for field, value := range m.Values {
		text, _ := value.(string)
		e.set(field, text)
	}
	return e, nil
}

func rawEntriesOf(messages []redis.XMessage) ([]rawEntry, error) {
	entries := make([]rawEntry, len(messages))
	for i, message := range messages {
		var err error
		if entries[i], err = rawEntryOf(message); err != nil {
			return nil, err
		}
	}
	return entries, nil
}
