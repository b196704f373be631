package attack

import (
	"math/rand/v2"
	"slices"
)

// kind is one sort of attack.
type kind struct {
	name   string
	weight int // how often it is picked, relative to the others
	play   func(*assault) Outcome
}

// kinds are all there are.
func kinds() []kind {
	list := slices.Concat(requestKinds(), pollingKinds(), upgradeKinds(), userKinds())
	for name, frames := range frameAttacks() {
		list = append(list, kind{"frame-" + name, 2, func(a *assault) Outcome { return a.playFrames(frames) }})
	}
	for name, packets := range packetAttacks() {
		list = append(list, kind{"packet-" + name, 2, func(a *assault) Outcome { return a.playPackets(packets) }})
	}
	slices.SortFunc(list, func(a, b kind) int { return compare(a.name, b.name) }) // the maps have no order
	return list
}

var (
	allKinds = kinds()
	weights  = sumOfWeights(allKinds)
)

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

func sumOfWeights(list []kind) int {
	sum := 0
	for _, k := range list {
		sum += k.weight
	}
	return sum
}

func pick(rng *rand.Rand) kind {
	at := rng.IntN(weights)
	for _, k := range allKinds {
		if at -= k.weight; at < 0 {
			return k
		}
	}
	return allKinds[0]
}

func kindNamed(name string) (kind, bool) {
	i := slices.IndexFunc(allKinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, false
	}
	return allKinds[i], true
}

// KindNames are the names of all kinds, sorted.
func KindNames() []string {
	names := make([]string, 0, len(allKinds))
	for _, k := range allKinds {
		names = append(names, k.name)
	}
	return names
}
