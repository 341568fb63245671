package nft

// commentType is the tag of a rule's comment in its user data, as nft writes it.
const commentType = 0

// comment is the user data that carries a rule's comment.
func comment(text string) []byte {
	data := append([]byte(text), 0)
	return append([]byte{commentType, byte(len(data))}, data...)
}

// commentOf reads it back; user data may be anybody's.
func commentOf(data []byte) string {
	for len(data) >= 2 {
		kind, length := data[0], int(data[1])
		if len(data) < 2+length {
			return ""
		}
		if kind == commentType && length > 0 {
			return string(data[2 : 1+length])
		}
		data = data[2+length:]
	}
	return ""
}
