package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/teloo/realtime-gateway/deploy/e2e/hostile/attack"
)

// attacker plays attacks until ctx ends or the order is carried out.
type attacker func(ctx context.Context, o order) (attack.Counts, error)

// order is what attackers are told.
type order struct {
	Addr      string        `json:"addr"`
	Seed      uint64        `json:"seed"`
	Attackers int           `json:"attackers"`
	Rate      float64       `json:"rate"`
	First     int           `json:"first"`
	Count     int           `json:"count"`
	Only      string        `json:"only"`
	For       time.Duration `json:"for"`
	Hold      time.Duration `json:"hold"`
}

func (o order) config() attack.Config {
	var tokens [hostileUsers]string
	for i := range tokens {
		tokens[i] = token("h" + strconv.Itoa(i))
	}
	return attack.Config{
		Addr: o.Addr, Seed: o.Seed, Attackers: o.Attackers, Rate: o.Rate, First: o.First, Count: o.Count, Only: o.Only, Hold: o.Hold,
		Token: func(i int) string { return tokens[i] }, Users: hostileUsers,
	}
}

// hostileUsers have valid tokens.
const hostileUsers = 50

// attackHere plays attacks in this process.
func attackHere(ctx context.Context, o order) (attack.Counts, error) {
	ctx, cancel := context.WithTimeout(ctx, o.For)
	defer cancel()
	return attack.Run(ctx, o.config())
}

const (
	// orderVar makes this program attack and do nothing else; it holds the order.
	orderVar = "TELOO_HOSTILE_ORDER"
	// nicest is how far attackers give way to the node and the good clients: theirs would be other machines.
	nicest = "19"
)

// attackFromOutside plays attacks in a process of its own, so that its pauses are not taken for the node's.
func attackFromOutside(ctx context.Context, o order) (attack.Counts, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	told, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var out, faults bytes.Buffer
	cmd := exec.CommandContext(ctx, "nice", "-n", nicest, self) //nolint:gosec // this very program
	cmd.Env = append(os.Environ(), orderVar+"="+string(told))
	cmd.Stdout, cmd.Stderr = &out, &faults
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("attackers: %w: %s", err, faults.String())
	}
	var counts attack.Counts
	return counts, json.Unmarshal(out.Bytes(), &counts)
}

// obey carries out the order in the environment and writes the counts.
func obey(ctx context.Context) int {
	var o order
	err := json.Unmarshal([]byte(os.Getenv(orderVar)), &o)
	var counts attack.Counts
	if err == nil {
		counts, err = attackHere(ctx, o)
	}
	if err = errors.Join(err, json.NewEncoder(os.Stdout).Encode(counts)); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		return 1
	}
	return 0
}
