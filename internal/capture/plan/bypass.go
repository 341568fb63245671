package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of --bypass: rules, and the length of a reason, which the kernel keeps in the rule's comment.
const (
	maxBypass = 64
	maxReason = 80
)

const (
	bypassReason  = "--bypass"
	bypassExample = `want "in" or "out", then any of tcp, udp, port, from, to, uid, gid, iface and because, such as "out tcp port 9000 to 10.0.0.0/8 because backups"`
)

// setBypass takes one rule, or several with ";" between them, and adds them to those before.
func setBypass(c *Command, value string) error {
	for text := range strings.SplitSeq(value, ";") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		rule, err := parseBypass(text)
		if err != nil {
			return err
		}
		c.Options.Bypass = append(c.Options.Bypass, rule)
	}
	if n := len(c.Options.Bypass); n > maxBypass {
		return fmt.Errorf("%d rules are more than the %d allowed", n, maxBypass)
	}
	return nil
}

// parseBypass reads one rule: "out tcp port 9000-9100 to 10.0.0.0/8 uid 106-108 because backups".
func parseBypass(text string) (Bypass, error) {
	text, why, given := strings.Cut(text+" ", " because ")
	by := Bypass{Reason: bypassReason}
	if why = strings.TrimSpace(why); given {
		if !sayable(why) {
			return by, fmt.Errorf("reason %q: want 1 to %d plain characters without quotes", why, maxReason)
		}
		by.Reason += ": " + why
	}
	words := strings.Fields(text)
	if len(words) == 0 || (words[0] != "in" && words[0] != "out") {
		return by, errors.New(bypassExample)
	}
	by.Hook = map[string]Hook{"in": Prerouting, "out": Output}[words[0]]
	if err := by.match(words[1:]); err != nil {
		return by, err
	}
	switch {
	case len(words) == 1:
		return by, errors.New("it leaves everything alone; to capture nothing leave -i or -b empty")
	case by.Hook == Prerouting && len(by.UIDs)+len(by.GIDs) > 0:
		return by, errors.New("packets that arrive have no owner; want uid and gid with out")
	}
	return by, nil
}

// sayable keeps out what a comment can't hold, and what separates rules.
func sayable(why string) bool {
	return why != "" && len(why) <= maxReason && !strings.ContainsFunc(why, func(r rune) bool {
		return r < ' ' || r > '~' || r == '"' || r == '\\' || r == ';'
	})
}

// match reads what must match, each word once.
func (by *Bypass) match(words []string) (err error) {
	var seen []string
	for len(words) > 0 && err == nil {
		word := words[0]
		if slices.Contains(seen, word) {
			return fmt.Errorf("%q stands there twice", word)
		}
		seen, words = append(seen, word), words[1:]
		if word == "tcp" || word == "udp" {
			err = by.proto(word)
			continue
		}
		if len(words) == 0 {
			return fmt.Errorf("%q has nothing behind it; %s", word, bypassExample)
		}
		err, words = by.list(word, words[0]), words[1:]
	}
	return err
}

func (by *Bypass) proto(word string) error {
	if by.Proto != 0 {
		return errors.New(`tcp and udp: leave both out to mean both`)
	}
	by.Proto = map[string]uint8{"tcp": TCP, "udp": UDP}[word]
	return nil
}

func (by *Bypass) list(word, value string) (err error) {
	switch word {
	case "port":
		by.Ports, err = parseRanges(value, 1, 65535)
	case "from":
		by.From, err = parsePrefixes(value)
	case "to":
		by.To, err = parsePrefixes(value)
	case "uid":
		by.UIDs, err = parseRanges(value, 0, maxID)
	case "gid":
		by.GIDs, err = parseRanges(value, 0, maxID)
	case "iface":
		by.Interfaces, err = parseInterfaces(value)
	default:
		return fmt.Errorf("%q is unknown; %s", word, bypassExample)
	}
	return err
}

// text is what parseBypass reads.
func (by Bypass) text() string {
	words := []string{map[Hook]string{Prerouting: "in", Output: "out"}[by.Hook]}
	if by.Proto != 0 {
		words = append(words, protoText(uint32(by.Proto)))
	}
	for _, l := range []struct{ word, list string }{
		{"port", join(by.Ports)}, {"from", join(by.From)}, {"to", join(by.To)}, {"uid", join(by.UIDs)},
		{"gid", join(by.GIDs)}, {"iface", strings.Join(by.Interfaces, ",")},
	} {
		if l.list != "" {
			words = append(words, l.word, l.list)
		}
	}
	if _, why, ok := strings.Cut(by.Reason, ": "); ok {
		words = append(words, "because", why)
	}
	return strings.Join(words, " ")
}
