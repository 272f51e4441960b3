import { describe, expect, test } from "bun:test";
import { compileExpression } from "#cloud/kube-api/custom-resources/cel";

/* "Kubernetes CEL libraries" of the Kubernetes documentation, version 1.32. */

function valueOf(text: string): unknown {
  const expression = compileExpression(text, []);
  if (typeof expression === "string") throw new Error(expression);
  return expression.evaluate({}, { steps: 1_000_000 });
}

describe("an expression that holds", () => {
  test.each([
    "ip('::1').isLoopback() && ip('127.0.0.1').isLoopback() && !ip('1.1.1.1').isLoopback()",
    "ip('fe80::1').isLinkLocalUnicast() && ip('224.0.0.1').isLinkLocalMulticast()",
    "ip('0.0.0.0').isUnspecified() && ip('::').isUnspecified()",
    "ip('8.8.8.8').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
    "ip('1.2.3.4').family() == 4 && ip('2001:db8::1').family() == 6",
    "ip('2001:db8::0:1') == ip('2001:DB8::1') && string(ip('2001:DB8::1')) == '2001:db8::1'",
    "ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')",
    "isIP('::1') && !isIP('::ffff:1.2.3.4') && !isIP('1.2.3.04') && !isIP('fe80::1%en0') && !isIP('x')",
    "cidr('192.168.0.0/24').containsIP(ip('192.168.0.1')) && !cidr('192.168.0.0/24').containsIP('192.168.1.1')",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
    "cidr('192.168.0.7/24').ip() == ip('192.168.0.7') && cidr('192.168.0.7/24').masked() == cidr('192.168.0.0/24')",
    "cidr('::1/128').prefixLength() == 128 && string(cidr('10.0.0.0/8')) == '10.0.0.0/8'",
    "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/08')",
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
    "'1a2b3'.findAll('[0-9]') == ['1', '2', '3'] && '1a2b3'.findAll('[0-9]', 2) == ['1', '2']",
    "'aaa'.findAll('b*').size() == 4",
    "!format.dns1123Label().validate('a-b').hasValue()",
    "format.dns1123Label().validate('A_b').value().size() > 0",
    "format.named('uuid').value().validate('nope').value() == ['does not match the UUID format']",
    "!format.named('unknown').hasValue() && !format.dns1123LabelPrefix().validate('a-').hasValue()",
    "sets.contains([1, 2, 3], [1]) && sets.equivalent([1, 1], [1]) && sets.intersects([1], [1, 2])",
    "!sets.contains([1], [2]) && !sets.equivalent([1], [1, 2]) && !sets.intersects([], [1])",
    "quantity('1').add(quantity('500m')).compareTo(quantity('1500m')) == 0",
    "quantity('10k').sub(5).asInteger() == 9995 && quantity('50m').isInteger() == false",
    "quantity('1500m').asApproximateFloat() == 1.5 && quantity('1Ki') == quantity('1024')",
    "url('https://a.example:80/x?b=1&b=2').getQuery() == {'b': ['1', '2']}",
    "'a-b-c'.replace('-', '+', 1) == 'a+b-c' && 'a-b'.replace('-', '') == 'ab' && 'abc'.reverse() == 'cba'",
    "['a', 'b'].join('-') == 'a-b' && 'tacocat'.charAt(3) == 'o'",
  ])("%s", (text) => {
    expect(valueOf(text)).toBe(true);
  });
});

test.each([
  ["quantity('50m').asInteger()", "cannot convert value to integer"],
  ["ip('1.2.3')", 'IP Address "1.2.3" parse error during conversion from string'],
  ["cidr('1.2.3.4')", "network address parse error during conversion from string: 1.2.3.4"],
])("%s fails", (text, message) => {
  expect(() => valueOf(text)).toThrow(message);
});
