package stream

// Field is one header field. Name is in lower case.
type Field struct{ Name, Value string }

// Fields are header fields in their order, several of one name too. The zero value is empty.
type Fields struct{ list []Field }

// Len is the number of fields.
func (f *Fields) Len() int { return len(f.list) }

// At returns the i-th field.
func (f *Fields) At(i int) Field { return f.list[i] }

// Clear removes all fields and keeps the memory.
func (f *Fields) Clear() {
	clear(f.list)
	f.list = f.list[:0]
}

// Get returns the first value of name, which is in lower case.
func (f *Fields) Get(name string) (string, bool) {
	for i := range f.list {
		if f.list[i].Name == name {
			return f.list[i].Value, true
		}
	}
	return "", false
}

// Value is the first value of name, or "".
func (f *Fields) Value(name string) string {
	value, _ := f.Get(name)
	return value
}

// Joined returns all values of name, joined by a comma as matchers see them.
func (f *Fields) Joined(name string) (value string, there bool) {
	for i := range f.list {
		switch {
		case f.list[i].Name != name:
		case !there:
			value, there = f.list[i].Value, true
		default:
			value += "," + f.list[i].Value
		}
	}
	return value, there
}

// Add appends a field.
func (f *Fields) Add(name, value string) { f.list = append(f.list, Field{name, value}) }

// Set replaces all values of name by one, in the place of the first.
func (f *Fields) Set(name, value string) {
	for i := range f.list {
		if f.list[i].Name == name {
			f.list[i].Value = value
			f.removeFrom(i+1, name)
			return
		}
	}
	f.Add(name, value)
}

// Remove removes all values of name.
func (f *Fields) Remove(name string) { f.removeFrom(0, name) }

func (f *Fields) removeFrom(i int, name string) {
	for ; i < len(f.list); i++ {
		if f.list[i].Name == name {
			break
		}
	}
	kept := i
	for ; i < len(f.list); i++ {
		if f.list[i].Name != name {
			f.list[kept] = f.list[i]
			kept++
		}
	}
	clear(f.list[kept:])
	f.list = f.list[:kept]
}
