package commandline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type program struct {
	EnvFile string `default:".env" help:"Variables." placeholder:"FILE"`

	Do struct {
		ID    string         `arg:""             help:"Which."`
		IDs   []string       `arg:""             help:"More."       name:"more"  optional:""`
		List  []string       `help:"A list."     placeholder:"ITEM"`
		Kind  string         `default:"a"        enum:"a,b"         help:"Kind."`
		Many  int            `default:"5"        help:"How many."`
		Share float64        `help:"Share."`
		For   time.Duration  `default:"1m"       help:"How long."`
		TTL   *time.Duration `help:"Until."`
		At    time.Time      `help:"When."`
		Yes   bool           `help:"Do not ask." short:"y"`
		Key   string         `help:"A key."      type:"path"`
		Need  string         `help:"Needed."     required:""`
		Still bool           `help:"Not shown."  hidden:""`
	} `cmd:"" help:"Do it."`
	Group struct {
		URL string `help:"Where."`

		Pick struct {
			One string `help:"One." placeholder:"ID" required:"" xor:"what"`
			Two string `help:"Two." required:""      xor:"what"`
		} `cmd:"" help:"Pick one."`
	} `cmd:"" help:"A group."`
}

func TestParse(t *testing.T) {
	var p program
	root, err := New("prog", "About.", &p)
	require.NoError(t, err)
	chosen, err := root.Parse(strings.Fields(`--env-file e do x --need=n y --list a,b\,c --list d -y --kind b --many 0x10 ` +
		`--share=-0.5 --for=2s --ttl 3s --at 2026-01-31T12:00:00Z --key k -- -z`))
	require.NoError(t, err)
	require.Equal(t, "prog do", chosen.Path())
	require.Same(t, &p.Do, chosen.Target)
	require.Equal(t, "e", p.EnvFile)
	require.Equal(t, []string{"y", "-z"}, p.Do.IDs)
	require.Equal(t, []string{"a", "b,c", "d"}, p.Do.List)
	require.Equal(t, "x b n", p.Do.ID+" "+p.Do.Kind+" "+p.Do.Need)
	require.Equal(t, 16, p.Do.Many)
	require.InDelta(t, -0.5, p.Do.Share, 0)
	require.Equal(t, 5*time.Second, p.Do.For+*p.Do.TTL)
	require.Equal(t, 2026, p.Do.At.Year())
	require.True(t, p.Do.Yes)
	here, err := os.Getwd()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(here, "k"), p.Do.Key)
}

func TestMistakes(t *testing.T) {
	for args, want := range map[string]string{
		"":                               "expected one of do, group",
		"group":                          "expected one of pick",
		"fly":                            "unexpected argument fly",
		"group fly":                      "unexpected argument fly",
		"--colour":                       "unknown flag --colour",
		"do --colour":                    "unknown flag --colour",
		"do -q":                          "unknown flag -q",
		"do":                             `expected "<id> [<more> ...]"`,
		"do x":                           "missing flags: --need=STRING",
		"do x --need":                    "--need: expected a value",
		"do x --need --yes":              `--need: expected a value but got "--yes"`,
		"do x --need n --kind c":         `--kind: must be one of a, b but got "c"`,
		"do x --need n --many 1x":        `--many: expected a whole number but got "1x"`,
		"do x --need n --for abc":        `--for: expected a duration as 1m30s but got "abc"`,
		"do x --need n --at now":         `--at: expected a time as 2026-01-31T12:00:00Z but got "now"`,
		"do x --need n --yes=maybe":      `--yes: must be true, 1, yes, false, 0 or no but got "maybe"`,
		"group pick":                     "missing flags: --one=ID or --two=STRING",
		"group pick extra --one 1":       "unexpected argument extra",
		"group pick --one 1 --two 2":     "--one and --two can't be used together",
		"group pick --two 2 --url --one": `--url: expected a value but got "--one"`,
	} {
		root, err := New("prog", "", &program{})
		require.NoError(t, err)
		_, err = root.Parse(strings.Fields(args))
		require.ErrorContains(t, err, want, args)
	}
}

func TestHelp(t *testing.T) {
	help := func(args string) string {
		root, err := New("prog", "About.", &program{})
		require.NoError(t, err)
		chosen, err := root.Parse(strings.Fields(args))
		require.ErrorIs(t, err, ErrHelp)
		var b strings.Builder
		require.NoError(t, chosen.WriteHelp(&b))
		return b.String()
	}
	top := help("-h")
	for _, want := range []string{"Usage: prog <command> [flags]\n\nAbout.\n", "--env-file=FILE    Variables. (default .env)", "\n  do            Do it.\n", "group pick    Pick one."} {
		require.Contains(t, top, want)
	}
	do := help("do --help")
	for _, want := range []string{
		"Usage: prog do --need=STRING <id> [<more> ...] [flags]", "<id>", "--env-file=FILE", "--list=ITEM,...", "  -y, --yes ",
		"Kind. One of a, b. (default a)", "--for=DURATION", "(default 1m)",
	} {
		require.Contains(t, do, want)
	}
	require.NotContains(t, do, "still")
	require.Contains(t, help("group --help"), "  pick    Pick one.")
	require.Contains(t, help("group pick --help"), "--url=STRING")
}

type talkative struct{}

func (*talkative) Help() string { return "One\nparagraph.\n\nAnother." }

func TestHelpHasParagraphs(t *testing.T) {
	root, err := New("prog", "", &talkative{})
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, root.WriteHelp(&b))
	require.Contains(t, b.String(), "\nOne paragraph.\n\nAnother.\n")
}

func TestTagsThatAreMistakes(t *testing.T) {
	_, err := New("prog", "", &struct{ N int8 }{})
	require.ErrorContains(t, err, "n: no flag can be a *int8")
	_, err = New("prog", "", &struct {
		TokenFile int `default:"x"`
	}{})
	require.ErrorContains(t, err, "token-file: its default")
}
