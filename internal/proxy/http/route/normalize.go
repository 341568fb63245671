package route

import (
	"bytes"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// PathVerdict is what becomes of a request after its path was looked at.
type PathVerdict uint8

// PathFine goes on with the new path. PathRejected is answered 400, PathRedirected 307 with the new path as Location;
// details of both are path_normalization_failed.
const (
	PathFine PathVerdict = iota
	PathRejected
	PathRedirected
)

// NormalizePath returns the target of a request as filters, routes and the upstream are to see it: escaped slashes,
// dot segments, doubled slashes treated as the manager says. The query is left as it is. `*` and targets that don't
// begin with a slash stay.
func NormalizePath(m *config.HTTPManager, target string) (string, PathVerdict) {
	if !strings.HasPrefix(target, "/") {
		return target, PathFine
	}
	path, _ := splitQuery(target)
	if m.NormalizePath && hasNUL(path) {
		return target, PathRejected
	}
	clean, verdict := unescapeSlashes(path, m.EscapedSlashes)
	if verdict == PathRejected {
		return target, verdict
	}
	if m.NormalizePath {
		clean = canonical(clean)
	}
	if m.MergeSlashes {
		clean = mergeSlashes(clean)
	}
	if clean == path {
		return target, verdict
	}
	return clean + target[len(path):], verdict
}

func hasNUL(path string) bool { return strings.Contains(path, "%00") }

// unescapeSlashes looks for %2F and %5C.
func unescapeSlashes(path string, action config.EscapedSlashes) (string, PathVerdict) {
	if action == config.EscapedSlashesKeep || !hasEscapedSlash(path) {
		return path, PathFine
	}
	if action == config.EscapedSlashesReject {
		return path, PathRejected
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if c, ok := escaped(path, i); ok && (c == '/' || c == '\\') {
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(path[i])
	}
	if action == config.EscapedSlashesRedirect {
		return b.String(), PathRedirected
	}
	return b.String(), PathFine
}

func hasEscapedSlash(path string) bool {
	for i := strings.IndexByte(path, '%'); i >= 0 && i < len(path); i++ {
		if c, ok := escaped(path, i); ok && (c == '/' || c == '\\') {
			return true
		}
	}
	return false
}

// escaped decodes the %XX at i, if there is one.
func escaped(path string, i int) (byte, bool) {
	if path[i] != '%' || i+2 >= len(path) {
		return 0, false
	}
	high, low := unhex(path[i+1]), unhex(path[i+2])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}

// canonical decodes escaped letters, digits and -._~ (RFC 3986 6.2.2.2), makes slashes of backslashes, escapes bytes
// beyond ASCII and resolves dot segments (RFC 3986 5.2.4); what would climb above the root stays there. A path that is
// fine already is returned as it is.
func canonical(path string) string {
	if isCanonical(path) {
		return path
	}
	return resolveDots(decodeUnreserved(path))
}

func isCanonical(path string) bool {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' || c == '\\' || c >= 0x80 || c == '/' && i+1 < len(path) && path[i+1] == '.' {
			return false
		}
	}
	return true
}

func decodeUnreserved(path string) string {
	b := make([]byte, 0, len(path)+8)
	for i := 0; i < len(path); i++ {
		c := path[i]
		if e, ok := escaped(path, i); ok && unreserved(e) {
			b = append(b, e)
			i += 2
			continue
		}
		switch {
		case c == '\\':
			b = append(b, '/')
		case c >= 0x80:
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

const upperHex = "0123456789ABCDEF"

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func resolveDots(path string) string {
	out := make([]byte, 0, len(path))
	for rest := path; rest != ""; { // rest begins with a slash
		next := strings.IndexByte(rest[1:], '/') + 1
		if next == 0 {
			next = len(rest)
		}
		switch segment := rest[1:next]; segment {
		case ".", "..":
			if segment == ".." {
				out = out[:max(0, bytes.LastIndexByte(out, '/'))]
			}
			if next == len(rest) {
				out = append(out, '/')
			}
		default:
			out = append(out, rest[:next]...)
		}
		rest = rest[next:]
	}
	return string(out)
}

func mergeSlashes(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			out = append(out, path[i])
		}
	}
	return string(out)
}
