package listener

// inspect looks at the first bytes. It reports whether the connection goes on.
func (v *visit) inspect(l *Compiled) bool {
	_ = l.needs(v.facts.Destination.Port())
	return true
}
