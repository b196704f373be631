package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// bar groups of the plot: what is shown relative to Node, so that longer is better throughout.
var plotted = []struct {
	row   row
	title string
}{
	{row{"fanout", "deliveries_per_cpu_second", "", false}, "fan-out, deliveries per CPU-second"},
	{row{"fanout-big", "deliveries_per_cpu_second", "", false}, "fan-out, more sockets, per CPU-second"},
	{row{"rooms", "deliveries_per_cpu_second", "", false}, "rooms of 50, deliveries per CPU-second"},
	{row{"targeted", "events_per_cpu_second", "", false}, "targeted events per CPU-second"},
	{row{"connect", "per_cpu_second", "", false}, "connects per CPU-second"},
	{row{"idle", "kb_per_socket", "", true}, "sockets per MB"},
	{row{"latency-targeted", "p99_ms_at_50", "", true}, "1 ÷ p99 at half of own capacity"},
}

var barColours = []string{"#0b6e4f", "#8a8d91", "#c57b2a", "#5b5ea6", "#a23b72"}

const (
	plotLeft, plotWidth, barHeight, groupGap = 270, 480, 14, 14
)

// svg draws the medians relative to Node (or the last server, without Node) as horizontal bars on a logarithmic scale.
func (r *results) svg() string {
	base := r.Servers[len(r.Servers)-1].name
	for _, p := range r.Servers {
		if p.name == "node" {
			base = p.name
		}
	}
	var body strings.Builder
	const scale = 20 // ratios from 1/20 to 20 fit
	x := func(ratio float64) float64 {
		return plotLeft + plotWidth*(math.Log(min(max(ratio, 1.0/scale), scale))/math.Log(scale)+1)/2
	}
	y := 56
	for _, g := range plotted {
		if !r.has(g.row.scenario) {
			continue
		}
		middle := y + len(r.Servers)*barHeight/2 + 4
		_, _ = fmt.Fprintf(&body, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotLeft-10, middle, html.EscapeString(g.title))
		for i, p := range r.Servers {
			ratio := median(r.values(g.row.scenario, g.row.metric, p.name)) / median(r.values(g.row.scenario, g.row.metric, base))
			if g.row.less {
				ratio = 1 / ratio
			}
			if math.IsNaN(ratio) || ratio <= 0 {
				continue
			}
			from, to := min(x(1), x(ratio)), max(x(1), x(ratio))
			_, _ = fmt.Fprintf(&body, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%s</text>`+"\n",
				from, y+i*barHeight, max(to-from, 1), barHeight-2, barColours[i%len(barColours)], to+4, y+i*barHeight+barHeight-4, number(ratio))
		}
		y += len(r.Servers)*barHeight + groupGap
	}
	var b strings.Builder
	width := plotLeft + plotWidth + 60
	_, _ = fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">`+"\n", width, y+10)
	_, _ = fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/><g fill="#222">`+"\n", width, y+10)
	_, _ = fmt.Fprintf(&b, `<text x="10" y="20" font-size="14">Medians relative to %s, logarithmic; to the right is better</text>`+"\n", html.EscapeString(base))
	for i, p := range r.Servers {
		at := 10 + i*190
		_, _ = fmt.Fprintf(&b, `<rect x="%d" y="32" width="12" height="12" fill="%s"/><text x="%d" y="42">%s</text>`+"\n", at, barColours[i%len(barColours)], at+18, html.EscapeString(p.title))
	}
	for _, tick := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20} {
		_, _ = fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="52" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle" fill="#777" font-size="10">%s</text>`+"\n",
			x(tick), x(tick), y-4, x(tick), y+6, number(tick))
	}
	return b.String() + body.String() + "</g></svg>\n"
}
