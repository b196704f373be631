package main

import (
	"strings"

	"github.com/teloo/realtime-gateway/adapter/ingress"
	"github.com/teloo/realtime-gateway/streams"
)

// ingressConfig is of use if anything is on.
func (c Config) ingressConfig(identity string) ingress.Config {
	i := ingress.DefaultConfig()
	i.Emitter = c.EmitterChannel
	i.Python = c.PythonChannel
	i.Legacy = c.LegacyChannels
	i.Namespace = namespace
	i.MaxEvent = streams.MaxPayloadBytes
	i.Prefix = c.RedisPrefix
	i.Identity = identity
	return i
}

// checkIngress tries each variable alone, then all together: two of them may name the same channel.
func (c Config) checkIngress(k *checker) {
	before := len(k.faults)
	base := ingress.DefaultConfig()
	base.Identity, base.Prefix = "x", c.RedisPrefix
	if base.Validate() != nil {
		return // the prefix' fault
	}
	try := func(name string, cfg ingress.Config) {
		if err := cfg.Validate(); err != nil {
			for fault := range strings.SplitSeq(err.Error(), "\n") {
				k.faultf(name, "%s", strings.TrimPrefix(fault, "ingress: "))
			}
		}
	}
	emitter, python, legacy := base, base, base
	emitter.Emitter, python.Python, legacy.Legacy = c.EmitterChannel, c.PythonChannel, c.LegacyChannels
	try("EMITTER_CHANNEL", emitter)
	try("PYTHON_CHANNEL", python)
	try("LEGACY_CHANNELS", legacy)
	if len(k.faults) > before {
		return
	}
	emitter.Python = c.PythonChannel
	try("PYTHON_CHANNEL", emitter)
	if len(k.faults) == before {
		try("LEGACY_CHANNELS", c.ingressConfig("x"))
	}
}
