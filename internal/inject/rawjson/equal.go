package rawjson

import "strconv"

// Equal compares meaning: the order of fields, spaces and the spelling of strings don't count.
func Equal(a, b *Value) bool {
	if a == b {
		return true
	}
	if a.Kind() != b.Kind() {
		return false
	}
	if a.Raw() != "" && a.Raw() == b.Raw() {
		return true
	}
	switch a.Kind() {
	case Null:
		return true
	case Object:
		return equalObjects(a, b)
	case List:
		return equalLists(a, b)
	case String:
		return a.Text() == b.Text()
	}
	return a.kind == Number && equalNumbers(a.raw, b.raw)
}

func equalObjects(a, b *Value) bool {
	these, those := a.Members(), b.Members()
	if len(these) != len(those) {
		return false
	}
	var find Finder
	for i, m := range these {
		other := those[i].Value
		if those[i].Key != m.Key {
			if find.object == nil {
				find = b.Finder()
			}
			other = find.Get(m.Key)
		}
		if other == nil || !Equal(m.Value, other) {
			return false
		}
	}
	return true
}

func equalLists(a, b *Value) bool {
	these, those := a.Items(), b.Items()
	if len(these) != len(those) {
		return false
	}
	for i := range these {
		if !Equal(these[i], those[i]) {
			return false
		}
	}
	return true
}

func equalNumbers(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}
