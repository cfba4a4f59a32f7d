//! Pseudo-random numbers that are the same everywhere: the generator of the C standard's example.

const MULTIPLIER: u32 = 1_103_515_245;
const INCREMENT: u32 = 12_345;
const MODULUS: u32 = 1 << 31;

/// One sequence of numbers.
#[derive(Clone, Debug)]
pub struct Lcg {
    last: u32,
}

impl Lcg {
    /// The sequence of `seed`.
    pub fn new(seed: u32) -> Self {
        Lcg { last: seed }
    }

    /// The next number, from 0 to 1; 1 only where rounding to 32 bits makes it one.
    pub fn rand(&mut self) -> f32 {
        let product = MULTIPLIER.wrapping_mul(self.last);
        self.last = product.wrapping_add(INCREMENT) % MODULUS;
        self.last as f32 / MODULUS as f32
    }
}

/// The next `size` numbers.
pub fn random_vector(lcg: &mut Lcg, size: usize) -> Vec<f32> {
    (0..size).map(|_| lcg.rand()).collect()
}

/// The next numbers as a matrix of `size` rows of `size` elements. Panics if no memory could hold it.
pub fn random_matrix(lcg: &mut Lcg, size: usize) -> Vec<f32> {
    let elements = size
        .checked_mul(size)
        .expect("a matrix that can be addressed");
    random_vector(lcg, elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_numbers_hit_all_twenty_buckets() {
        let mut lcg = Lcg::new(42);
        let mut hits = [0; 20];
        for _ in 0..1000 {
            hits[(lcg.rand() * 20.0) as usize] += 1;
        }
        assert!(hits.iter().all(|count| *count > 0));
    }

    #[test]
    fn a_matrix_has_the_square_of_its_size() {
        let matrix = random_matrix(&mut Lcg::new(42), 1000);
        assert_eq!(matrix.len(), 1_000_000);
        assert!(matrix.iter().sum::<f32>() > 0.0);
    }
}
